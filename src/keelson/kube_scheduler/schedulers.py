"""The scheduling loop: informers feed the snapshot and the queue; each pod gets a decision, then a binding.

A pod counts on its node as soon as it is decided ("assumed"), so that bindings travel while the next pod is decided.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from keelson.api import errors, meta, selectors
from keelson.api.meta import Object
from keelson.client.events import Recorder
from keelson.client.informers import Factory
from keelson.client.rest import STRATEGIC_PATCH, Client
from keelson.component_base import metrics

from .decisions import frameworks, plugins, pods
from .decisions.snapshots import Snapshot
from .queues import SchedulingQueue

log = logging.getLogger(__name__)

# Bindings under way at once; more would only queue up in the API server.
_BINDINGS = 64
_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4, 8, 16)

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
        self._bindings = asyncio.Semaphore(_BINDINGS)
        live = "status.phase!=Succeeded,status.phase!=Failed"
        self._pods = self._informers.informer("pods", field_selector=live)
        self._pods.add_handler(self._pod_changed)
        self._informers.informer("nodes").add_handler(self._node_changed)
        self._informers.informer("namespaces").add_handler(self._namespace_changed)
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
                pod, attempts = await self._queue.next()
                PENDING.labels("active").set(len(self._queue))
                await self._schedule(group, pod, attempts)

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

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
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
                self._queue.moved()
        elif self._is_ours(new) and meta.uid(new) not in self._assumed:
            self._queue.add(new)
        elif meta.is_deleting(new):
            self._queue.remove(meta.key(new))

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

    async def _schedule(self, group: asyncio.TaskGroup, pod: Object, attempts: int) -> None:
        started = self._monotonic()
        try:
            facts = pods.info(pod, group=self._group(pod))
        except ValueError as error:
            await self._reject(pod, attempts, f"the pod can't be read: {error}", started, hopeless=True)
            return
        missing = self._missing_claim(pod, facts)
        if missing:
            await self._reject(pod, attempts, missing, started, hopeless=True)
            return
        decision = frameworks.decide(plugins.DEFAULT, self._snapshot, facts, chance=self._chance())
        ALGORITHM.observe(self._monotonic() - started)
        if not decision.node:
            await self._reject(pod, attempts, decision.message, started, hopeless=True)
            return
        bound = {**pod, "spec": {**pod["spec"], "nodeName": decision.node}}
        self._assumed.add(facts.uid)
        self._snapshot.add_pod(pods.info(bound))
        await self._bindings.acquire()
        group.create_task(self._bind(pod, decision.node, attempts, started))

    def _missing_claim(self, pod: Object, facts: pods.PodInfo) -> str:
        for name in facts.claims:
            claim = self._claims.store.get(meta.key_of(meta.namespace(pod), name))
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if (claim.get("status") or {}).get("phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    async def _bind(self, pod: Object, node: str, attempts: int, started: float) -> None:
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta.name(pod), "namespace": meta.namespace(pod), "uid": meta.uid(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
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
                await self._reject(pod, attempts, f"binding rejected: {error.message}", started, hopeless=False)
        else:
            self._queue.remove(meta.key(pod))
            self._count("scheduled", started)
            self._recorder.event(pod, "Normal", "Scheduled", f"Successfully assigned {meta.key(pod)} to {node}")
        finally:
            self._bindings.release()

    def _count(self, result: str, started: float) -> None:
        ATTEMPTS.labels(result, self._name).inc()
        LATENCY.labels(result, self._name).observe(self._monotonic() - started)

    async def _reject(self, pod: Object, attempts: int, message: str, started: float, *, hopeless: bool) -> None:
        self._count("unschedulable" if hopeless else "error", started)
        log.info("no node for %s: %s", meta.key(pod), message)
        self._recorder.event(pod, "Warning", "FailedScheduling", message)
        self._queue.failed(pod, attempts, hopeless=hopeless)
        known = meta.condition(pod, "PodScheduled") or {}
        if known.get("status") == "False" and known.get("message") == message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable" if hopeless else "SchedulerError",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": known.get("lastTransitionTime") or meta.format_time(datetime.now(UTC)),
        }
        try:
            await self._client.patch(
                "pods",
                meta.name(pod),
                {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}},
                namespace=meta.namespace(pod),
                subresource="status",
                kind=STRATEGIC_PATCH,
            )
        except errors.StatusError as error:
            # The condition is for people; the pod stays in the queue in any case.
            log.info("status of %s not written: %s", meta.key(pod), error.message)
