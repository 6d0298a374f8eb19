"""Runs the probes of every container, each in a task of its own, and keeps their verdicts by container id."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from keelson.api import meta
from keelson.api.meta import Object
from keelson.component_base import metrics

from .decisions import probe_results
from .decisions.container_configs import all_containers
from .decisions.observations import Container
from .decisions.pod_actions import Probed
from .decisions.probe_results import KINDS, ProbeKind, Settings, State
from .handlers import HandlerError, Handlers, Result
from .relists import Relister

log = logging.getLogger(__name__)

_TOTAL = metrics.counter(
    "prober_probe_total",
    "Cumulative number of a liveness, readiness or startup probe for a container by result.",
    ("probe_type", "result", "container", "pod", "namespace"),
)

_Key = tuple[str, str, ProbeKind]
Tell = Callable[[Object, Literal["Normal", "Warning"], str, str, str], None]


class Probers:
    """`on_change(uid)` is called when a verdict changes; `tell` records an event."""

    def __init__(
        self,
        handlers: Handlers,
        relister: Relister,
        *,
        now: Callable[[], datetime],
        on_change: Callable[[str], None],
        tell: Tell,
    ) -> None:
        self._handlers = handlers
        self._relister = relister
        self._now = now
        self._on_change = on_change
        self._tell = tell
        self._states: dict[str, dict[ProbeKind, State]] = {}
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._pods: dict[str, Object] = {}
        self._addresses: dict[str, str] = {}

    def verdicts(self, pod: Object) -> Mapping[str, Probed]:
        """What probes found, by container id; a running instance that was not probed yet is as its status says."""
        found = {}
        observed = self._relister.pod(meta.uid(pod))
        for container in all_containers(pod):
            instance = observed.latest(container["name"])
            if instance is not None and instance.state == "running":
                states = self._states_of(pod, container, instance)
                found[instance.id] = Probed(**{kind: state.verdict for kind, state in states.items()})
        return found

    def watch(self, pod: Object, address: str) -> None:
        """Probe the pod's containers from now on, at this address; told again, the newer pod counts."""
        uid = meta.uid(pod)
        self._pods[uid], self._addresses[uid] = pod, address
        for container in all_containers(pod):
            for kind in KINDS:
                key = (uid, container["name"], kind)
                if container.get(f"{kind}Probe") and key not in self._tasks:
                    self._tasks[key] = asyncio.create_task(self._probe(*key))

    def stop(self, uid: str, *, kinds: tuple[ProbeKind, ...] = KINDS) -> None:
        """End these probes of the pod; of one that ends, liveness and startup stop before readiness."""
        for key in [found for found in self._tasks if found[0] == uid and found[2] in kinds]:
            self._tasks.pop(key).cancel()
        if kinds == KINDS:
            self._pods.pop(uid, None)
            self._addresses.pop(uid, None)
            ids = {found.id for found in self._relister.pod(uid).containers}
            self._states = {key: value for key, value in self._states.items() if key not in ids}

    def prune(self) -> None:
        """Forget instances that are there no more."""
        alive = {found.id for pod in self._relister.pods().values() for found in pod.containers}
        self._states = {key: value for key, value in self._states.items() if key in alive}

    async def close(self) -> None:
        """End all."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _probe(self, uid: str, name: str, kind: ProbeKind) -> None:
        while True:
            container = next((c for c in all_containers(self._pods[uid]) if c["name"] == name), None)
            probe = (container or {}).get(f"{kind}Probe")
            if container is None or not probe:
                return
            timing = probe_results.settings(probe)
            try:
                await self._once(uid, container, kind, probe, timing)
            except Exception:
                # One broken probe must not end all others' task; it is our bug and shows in the log.
                log.exception("probing %s %s of pod %s", kind, name, uid)
            await asyncio.sleep(timing.period * random.uniform(0.99, 1.01))  # noqa: S311 - spreads load only

    async def _once(
        self, uid: str, container: Object, kind: ProbeKind, probe: Mapping[str, Any], timing: Settings
    ) -> None:
        instance = self._relister.pod(uid).latest(container["name"])
        while instance is None or instance.state != "running":
            # Probing begins when the container does: the relister's period is the finest moment to notice it.
            await asyncio.sleep(1.0)
            instance = self._relister.pod(uid).latest(container["name"])
        state = self._states_of(self._pods[uid], container, instance)[kind]
        age = (self._now() - (instance.started_at or instance.created_at)).total_seconds()
        started = not container.get("startupProbe") or self._states[instance.id]["startup"].verdict == "success"
        if age < timing.initial_delay:
            await asyncio.sleep(timing.initial_delay - age)
            age = timing.initial_delay
        if not probe_results.asks(state, kind, running_for=age, timing=timing, started=started):
            return
        try:
            result = await self._handlers.run(probe, container, instance, self._addresses.get(uid, ""), timing.timeout)
        except HandlerError as error:
            log.info("%s probe of %s in pod %s: %s", kind, container["name"], uid, error)
            self._count(uid, container, kind, "unknown")
            return
        self._take(uid, container, instance, kind, result, timing)

    def _states_of(self, pod: Object, container: Object, instance: Container) -> dict[ProbeKind, State]:
        states = self._states.get(instance.id)
        if states is None:
            states = self._states[instance.id] = {
                each: probe_results.initial(each) for each in KINDS if container.get(f"{each}Probe")
            }
            _resume(pod, instance, states)
        return states

    def _take(
        self, uid: str, container: Object, instance: Container, kind: ProbeKind, result: Result, timing: Settings
    ) -> None:
        if instance.id not in self._states or uid not in self._pods:
            return
        before = self._states[instance.id][kind]
        after = probe_results.after(before, kind, result.passed, timing)
        self._states[instance.id][kind] = after
        self._count(uid, container, kind, "successful" if result.passed else "failed")
        if not result.passed:
            message = f"{kind.capitalize()} probe failed: {result.output}"
            self._tell(self._pods[uid], "Warning", "Unhealthy", message, container["name"])
        if after.verdict != before.verdict:
            self._on_change(uid)

    def _count(self, uid: str, container: Object, kind: ProbeKind, result: str) -> None:
        pod = self._pods.get(uid, {})
        _TOTAL.labels(kind.capitalize(), result, container["name"], meta.name(pod), meta.namespace(pod)).inc()


def _resume(pod: Object, instance: Container, states: dict[ProbeKind, State]) -> None:
    """After the kubelet's restart: what the API says of this very instance holds until it is probed again."""
    status = pod.get("status") or {}
    for entry in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if not str(entry.get("containerID") or "").endswith("://" + instance.id):
            continue
        if entry.get("ready") and "readiness" in states:
            states["readiness"] = State("success")
        if entry.get("started") and "startup" in states:
            states["startup"] = State("success")
