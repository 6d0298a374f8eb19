"""The scheduling loop: informers feed the snapshot and the queue; each pod gets a decision, then a binding.

A pod counts on its node as soon as it is decided ("assumed"), so that bindings travel while the next pod is decided.
One that no node does for may preempt others of lower priority, and holds its place on their node meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from keelson.api import errors, meta, selectors
from keelson.api.meta import Object
from keelson.client.events import Recorder
from keelson.client.informers import Factory
from keelson.client.rest import STRATEGIC_PATCH, Client
from keelson.component_base import metrics

from .decisions import frameworks, plugins, pods, preemptions
from .decisions.frameworks import Decision
from .decisions.plugins import inter_pod_affinity, pod_topology_spread
from .decisions.preemptions import Budget, Preemption
from .decisions.snapshots import Snapshot
from .preemptions import ATTEMPTS as PREEMPTIONS
from .preemptions import Executor
from .queues import SchedulingQueue

log = logging.getLogger(__name__)

# Pods whose binding or rejection is being written at once; more would only queue up in the API server.
_CALLS = 64
_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4, 8, 16)

# An attempt that leaves the pod nominated nowhere, as all do whose failure preemption is not asked about.
_NO_NOMINATION = Preemption("")

ATTEMPTS = metrics.counter(
    "scheduler_schedule_attempts_total", "Attempts to schedule pods, by result.", ("result", "profile")
)
PENDING = metrics.gauge("scheduler_pending_pods", "Pods that wait for a node.", ("queue",))
ALGORITHM = metrics.histogram(
    "scheduler_scheduling_algorithm_duration_seconds", "Time to decide on a node.", buckets=_SECONDS
)
LATENCY = metrics.histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "Time of an attempt, binding included.",
    ("result", "profile"),
    buckets=_SECONDS,
)


class Scheduler:
    """Schedules the pods that name `name` as their scheduler."""

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._name = name
        self._monotonic = monotonic
        self._chance = chance
        self._informers = Factory(client)
        self._recorder = Recorder(client, component=name)
        self._snapshot = Snapshot()
        self._queue = SchedulingQueue(monotonic)
        # UIDs decided by us whose binding the informer has not shown yet.
        self._assumed: set[str] = set()
        self._calls = asyncio.Semaphore(_CALLS)
        self._budgets: dict[str, Budget] = {}
        live = "status.phase!=Succeeded,status.phase!=Failed"
        self._pods = self._informers.informer("pods", field_selector=live)
        self._pods.add_handler(self._pod_changed)
        self._informers.informer("nodes").add_handler(self._node_changed)
        self._informers.informer("namespaces").add_handler(self._namespace_changed)
        self._informers.informer("poddisruptionbudgets.policy").add_handler(self._budget_changed)
        self._executor = Executor(client, self._recorder, self._pods.store, now=lambda: datetime.now(UTC))
        self._claims = self._informers.informer("persistentvolumeclaims")
        self._claims.add_handler(lambda _old, _new: self._queue.moved())
        self._services = self._informers.informer("services")
        self._services.store.add_index("namespace", lambda obj: [meta.namespace(obj)])
        self._owners = {
            "ReplicaSet": self._informers.informer("replicasets.apps"),
            "StatefulSet": self._informers.informer("statefulsets.apps"),
        }

    async def run(self) -> None:
        """Schedule until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._recorder.run())
            await self._informers.synced()
            log.info("caches are synced; scheduling starts with %d nodes", len(self._snapshot))
            while True:
                pod = await self._queue.next()
                self._tell_pending()
                await self._schedule(group, pod)
                # What was decided goes out before the next decision is made.
                await asyncio.sleep(0)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._snapshot.remove_node(meta.name(old or {}))
        elif self._snapshot.set_node(new):
            self._queue.moved()

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._snapshot.namespace_labels.pop(meta.name(old or {}), None)
        else:
            self._snapshot.namespace_labels[meta.name(new)] = meta.labels(new)

    def _budget_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._budgets.pop(meta.key(old or {}), None)
            return
        try:
            self._budgets[meta.key(new)] = Budget.of(new)
        except ValueError as error:
            # It protects no pod, as in upstream's scheduler.
            self._budgets.pop(meta.key(new), None)
            log.info("disruption budget %s can't be read: %s", meta.key(new), error)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or new["spec"].get("nodeName") or meta.is_deleting(new):
            if self._snapshot.forget_nomination(meta.uid(new or old or {})):
                # Its place is free again, unless it was taken by the pod itself.
                self._queue.moved()
        elif self._is_ours(new):
            self._nomination_changed(old, new)
        if new is None:
            gone = old or {}
            self._queue.remove(meta.key(gone))
            self._assumed.discard(meta.uid(gone))
            self._snapshot.remove_pod(meta.uid(gone))
            # Its room, and the end of its affinities, may help others.
            self._queue.moved()
        elif new["spec"].get("nodeName"):
            self._queue.remove(meta.key(new))
            self._assumed.discard(meta.uid(new))
            self._snapshot.add_pod(pods.info(new))
            if old is None or meta.labels(old) != meta.labels(new) or not old["spec"].get("nodeName"):
                # One pod more takes room from others; only those that want to be near it are better off.
                self._queue.moved(inter_pod_affinity.NAME, pod_topology_spread.NAME)
        elif self._is_ours(new) and meta.uid(new) not in self._assumed:
            self._queue.add(new)
        elif meta.is_deleting(new):
            self._queue.remove(meta.key(new))

    def _nomination_changed(self, old: Object | None, new: Object) -> None:
        """Follow status.nominatedNodeName; while it is unset as before, a nomination may still be on its way there."""
        before = ((old or {}).get("status") or {}).get("nominatedNodeName") or ""
        after = (new.get("status") or {}).get("nominatedNodeName") or ""
        if before == after and old is not None:
            return
        try:
            self._snapshot.nominate(pods.info(new), after)
        except ValueError as error:
            # Nor can it be scheduled: the attempt tells why.
            log.debug("nomination of %s: %s", meta.key(new), error)
        if before:
            self._queue.moved()

    def _is_ours(self, pod: Object) -> bool:
        spec = pod["spec"]
        return (
            (spec.get("schedulerName") or "default-scheduler") == self._name
            and not meta.is_deleting(pod)
            and not spec.get("schedulingGates")
        )

    def _group(self, pod: Object) -> selectors.Selector | None:
        """Which pods belong together with this one: its services' and its controller's."""
        labels = meta.labels(pod)
        wanted: dict[str, str] = {}
        for service in self._services.store.by_index("namespace", meta.namespace(pod)):
            selector = service["spec"].get("selector") or {}
            if selector and all(labels.get(name) == value for name, value in selector.items()):
                wanted |= selector
        expressions: list[Object] = []
        controller = meta.controller_of(pod)
        if controller is not None and controller["kind"] in self._owners:
            owner = self._owners[controller["kind"]].store.get(meta.key_of(meta.namespace(pod), controller["name"]))
            if owner is not None:
                wanted |= owner["spec"]["selector"].get("matchLabels") or {}
                expressions = owner["spec"]["selector"].get("matchExpressions") or []
        if not wanted and not expressions:
            return None
        return selectors.from_label_selector({"matchLabels": wanted, "matchExpressions": expressions})

    async def _schedule(self, group: asyncio.TaskGroup, pod: Object) -> None:
        started = self._monotonic()
        try:
            facts = pods.info(pod, group=self._group(pod))
        except ValueError as error:
            await self._fail(group, pod, f"the pod can't be read: {error}", started)
            return
        missing = self._missing_claim(pod, facts)
        if missing:
            await self._fail(group, pod, missing, started)
            return
        decision = frameworks.decide(plugins.DEFAULT, self._snapshot, facts, chance=self._chance())
        ALGORITHM.observe(self._monotonic() - started)
        if not decision.node:
            preemption = self._preempt(facts, decision)
            parts = [decision.message, f"preemption: {preemption.message}" if preemption.message else ""]
            message = " ".join(part for part in parts if part)
            await self._fail(group, pod, message, started, plugins=decision.plugins, preemption=preemption)
            return
        bound = {**pod, "spec": {**pod["spec"], "nodeName": decision.node}}
        self._assumed.add(facts.uid)
        self._snapshot.add_pod(pods.info(bound))
        self._snapshot.forget_nomination(facts.uid)
        await self._calls.acquire()
        group.create_task(self._bind(pod, decision.node, started))

    def _preempt(self, facts: pods.PodInfo, decision: Decision) -> Preemption:
        """Who must leave so that the pod gets a node; the decision said that it finds none."""
        if not decision.nodes:
            return Preemption("")
        PREEMPTIONS.inc()
        return preemptions.preempt(
            plugins.DEFAULT, self._snapshot, facts, decision, self._budgets.values(), chance=self._chance()
        )

    def _missing_claim(self, pod: Object, facts: pods.PodInfo) -> str:
        for name in facts.claims:
            claim = self._claims.store.get(meta.key_of(meta.namespace(pod), name))
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if (claim.get("status") or {}).get("phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    async def _bind(self, pod: Object, node: str, started: float) -> None:
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta.name(pod), "namespace": meta.namespace(pod), "uid": meta.uid(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        failure = ""
        try:
            await self._client.create("pods", binding, name=meta.name(pod), subresource="binding")
        except errors.StatusError as error:
            self._assumed.discard(meta.uid(pod))
            self._snapshot.remove_pod(meta.uid(pod))
            if error.code in {404, 409}:
                # Gone, or bound by another: what the informer shows decides.
                self._queue.remove(meta.key(pod))
                current = self._pods.store.get(meta.key(pod))
                if current is not None:
                    self._pod_changed(None, current)
                log.info("binding %s to %s: %s", meta.key(pod), node, error.message)
            else:
                failure = f"binding rejected: {error.message}"
        else:
            self._queue.remove(meta.key(pod))
            self._count("scheduled", started)
            self._recorder.event(pod, "Normal", "Scheduled", f"Successfully assigned {meta.key(pod)} to {node}")
        finally:
            self._calls.release()
        if failure:
            await self._settle(pod, failure, started, False)

    def _count(self, result: str, started: float) -> None:
        ATTEMPTS.labels(result, self._name).inc()
        LATENCY.labels(result, self._name).observe(self._monotonic() - started)

    async def _fail(
        self,
        group: asyncio.TaskGroup,
        pod: Object,
        message: str,
        started: float,
        *,
        plugins: frozenset[str] = frozenset(),
        preemption: Preemption = _NO_NOMINATION,
    ) -> None:
        """End an attempt that found no node: what it decided counts at once, what it writes is a task of its own."""
        outdone: list[pods.PodInfo] = []
        if preemption.nominate:
            priority = int(pod["spec"].get("priority") or 0)
            outdone = [other for other in self._snapshot.nominated_on(preemption.nominate) if other.priority < priority]
            for other in outdone:
                self._snapshot.forget_nomination(other.uid)
            self._snapshot.nominate(pods.info(pod), preemption.nominate)
        elif preemption.nominate is not None:
            self._snapshot.forget_nomination(meta.uid(pod))
        await self._calls.acquire()

        async def settle() -> None:
            try:
                await self._settle(pod, message, started, True, plugins, preemption, outdone)
            finally:
                self._calls.release()

        group.create_task(settle())

    async def _settle(
        self,
        pod: Object,
        message: str,
        started: float,
        hopeless: bool,
        plugins: frozenset[str] = frozenset(),
        preemption: Preemption = _NO_NOMINATION,
        outdone: Sequence[pods.PodInfo] = (),
    ) -> None:
        """Write why the pod has no node, make the room that was decided for it, and put it back into the queue.

        Until then the pod is tried no further, so that it does not preempt more while its victims are told.
        """
        self._count("unschedulable" if hopeless else "error", started)
        log.info("no node for %s: %s", meta.key(pod), message)
        self._recorder.event(pod, "Warning", "FailedScheduling", message)
        await self._write_status(pod, message, "Unschedulable" if hopeless else "SchedulerError", preemption.nominate)
        if preemption.nominate and preemption.victims:
            hopeless &= await self._executor.preempt(pod, preemption.nominate, preemption.victims, outdone)
        if outdone:
            # They may find another place sooner than this node is free.
            self._queue.moved()
        self._queue.failed(pod, hopeless=hopeless, plugins=plugins)
        self._tell_pending()

    def _tell_pending(self) -> None:
        unschedulable = self._queue.unschedulable
        PENDING.labels("active").set(len(self._queue) - unschedulable)
        PENDING.labels("unschedulable").set(unschedulable)

    async def _write_status(self, pod: Object, message: str, reason: str, nominate: str | None) -> None:
        known = meta.condition(pod, "PodScheduled") or {}
        status: Object = {}
        if (known.get("status"), known.get("reason"), known.get("message")) != ("False", reason, message):
            since = known.get("lastTransitionTime") if known.get("status") == "False" else None
            condition = {
                "type": "PodScheduled",
                "status": "False",
                "reason": reason,
                "message": message,
                "lastProbeTime": None,
                "lastTransitionTime": since or meta.format_time(datetime.now(UTC)),
            }
            status["conditions"] = [condition]
        if nominate is not None and nominate != ((pod.get("status") or {}).get("nominatedNodeName") or ""):
            status["nominatedNodeName"] = nominate or None
        if not status:
            return
        try:
            await self._client.patch(
                "pods",
                meta.name(pod),
                {"metadata": {"uid": meta.uid(pod)}, "status": status},
                namespace=meta.namespace(pod),
                subresource="status",
                kind=STRATEGIC_PATCH,
            )
        except errors.StatusError as error:
            # It is for people and for other components; the pod stays in the queue in any case.
            log.info("status of %s not written: %s", meta.key(pod), error.message)
