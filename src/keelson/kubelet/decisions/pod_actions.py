"""What to do next about one pod that is to run: which sandbox, which containers to start, which to kill.

The decision is taken anew from what the runtime has, again and again; nothing is remembered between two of them but the
restart delays. Rules: Pod Lifecycle, Init Containers, Sidecar Containers (Kubernetes documentation), KEP-753.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from keelson.api.meta import Object

from . import restarts
from .container_configs import is_sidecar, spec_hash
from .observations import Container, RuntimePod, Sandbox

ProbeVerdict = Literal["unknown", "success", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What the probes of one container instance found; "unknown" also where there is no probe or no result yet."""

    liveness: ProbeVerdict = "unknown"
    readiness: ProbeVerdict = "unknown"
    startup: ProbeVerdict = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start this container of the pod's spec; `after` is the instance that it follows."""

    container: Object
    after: Container | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End this instance; `reason` decides about the probe's own grace period and the event."""

    instance: Container
    container: Object
    reason: Literal["liveness", "startup", "changed", "unknown"]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A container that is to start, but only in so many seconds."""

    container: Object
    after: Container
    seconds: float


@dataclass(slots=True, kw_only=True)
class Actions:
    """In this order: kill the pod (everything that is left of it), kill instances, create the sandbox, start.

    `finished` says that nothing of the pod will ever run again: its phase is then Succeeded or Failed.
    """

    kill_pod: bool = False
    create_sandbox: bool = False
    attempt: int = 0
    sandbox: Sandbox | None = None
    kill: list[Kill] = field(default_factory=list)
    start: list[Start] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    finished: bool = False


def pod_actions(
    pod: Object,
    observed: RuntimePod,
    *,
    now: datetime,
    probed: Mapping[str, Probed],
    delays: Mapping[str, restarts.Delay],
    maximum_delay: float = restarts.MAXIMUM,
) -> Actions:
    """The next actions. `probed` is by container id, `delays` by container name."""
    deciding = _Deciding(pod, observed, now, probed, delays, maximum_delay)
    return deciding.decide()


class _Deciding:
    def __init__(
        self,
        pod: Object,
        observed: RuntimePod,
        now: datetime,
        probed: Mapping[str, Probed],
        delays: Mapping[str, restarts.Delay],
        maximum_delay: float,
    ) -> None:
        self._pod = pod
        self._observed = observed
        self._now = now
        self._probed = probed
        self._delays = delays
        self._maximum_delay = maximum_delay
        self._actions = Actions()
        spec = pod["spec"]
        self._init: list[Object] = spec.get("initContainers") or []
        self._regular: list[Object] = spec["containers"]

    def decide(self) -> Actions:
        reason = self._sandbox_lacks()
        if reason:
            self._decide_anew()
        else:
            self._decide_in_place()
        return self._actions

    def _sandbox_lacks(self) -> bool:
        """Whether a new sandbox is needed; notes the sandbox or the next attempt."""
        sandboxes = self._observed.sandboxes
        if not sandboxes:
            return True
        newest = sandboxes[0]
        self._actions.attempt = newest.attempt + 1
        ready = [found for found in sandboxes if found.ready]
        host = bool(self._pod["spec"].get("hostNetwork"))
        if len(ready) != 1 or not newest.ready or newest.host_network != host:
            return True
        if not host and not newest.ips:
            return True
        self._actions.sandbox, self._actions.attempt = newest, newest.attempt
        return False

    def _decide_anew(self) -> None:
        actions = self._actions
        actions.kill_pod = bool(self._observed.sandboxes)
        latest = {container["name"]: self._observed.latest(container["name"]) for container in self._regular}
        if actions.attempt and any(latest.values()):
            # The pod ran before: only what its policy restarts calls for a new sandbox.
            wanted = [c for c in self._regular if self._wanted_after_loss(c, latest[c["name"]])]
        else:
            wanted = list(self._regular)
            if self._init_failed_for_good():
                wanted = []
        if not wanted:
            actions.finished = True
            return
        actions.create_sandbox = True
        first = next(iter(self._init), None)
        if first is not None:
            # All of initialisation is done again in the new sandbox.
            self._start(first, self._observed.latest(first["name"]))
            return
        for container in wanted:
            self._start(container, latest[container["name"]])

    def _wanted_after_loss(self, container: Object, latest: Container | None) -> bool:
        """As `restarts.wanted`, for instances whose sandbox is gone: what still counts as running is lost."""
        if latest is not None and latest.state == "running":
            return restarts.after_exit(self._pod, container, 137)
        return restarts.wanted(self._pod, container, latest)

    def _init_failed_for_good(self) -> bool:
        for container in self._init:
            latest = self._observed.latest(container["name"])
            if latest is None or is_sidecar(container):
                continue
            if latest.state == "exited" and latest.exit_code and not self._retries_init(container, latest):
                return True
        return False

    def _retries_init(self, container: Object, latest: Container) -> bool:
        return restarts.after_exit(self._pod, container, latest.exit_code)

    def _decide_in_place(self) -> None:
        sandbox = self._actions.sandbox
        assert sandbox is not None
        here = RuntimePod(
            uid=self._observed.uid,
            sandboxes=self._observed.sandboxes,
            containers=tuple(found for found in self._observed.containers if found.sandbox_id == sandbox.id),
        )
        initialized = not self._init or any(here.latest(container["name"]) for container in self._regular)
        if not self._decide_init(here, initialized=initialized):
            return
        self._decide_regular(here)
        self._decide_ephemeral(here)

    def _decide_init(self, here: RuntimePod, *, initialized: bool) -> bool:
        """Whether the regular containers may be decided about; sidecars are kept up even after initialisation."""
        for container in self._init:
            latest = here.latest(container["name"])
            if is_sidecar(container):
                if not self._decide_sidecar(container, latest) and not initialized:
                    return False
                continue
            if initialized:
                continue
            if latest is None or latest.state == "created":
                self._start(container, self._observed.latest(container["name"]))
                return False
            if latest.state == "unknown":
                self._kill(latest, container, "unknown", "Init container is in an unknown state")
                return False
            if latest.state == "running":
                return False
            if latest.exit_code == 0:
                continue
            if not self._retries_init(container, latest):
                self._finish()
                return False
            self._start(container, latest)
            return False
        return True

    def _decide_sidecar(self, container: Object, latest: Container | None) -> bool:
        """Keep a sidecar up; whether it has started, so that the next container may."""
        if latest is None or latest.state in {"created", "exited"}:
            self._start(container, latest or self._observed.latest(container["name"]))
            return False
        if latest.state == "unknown" or self._ends_badly(container, latest):
            if latest.state == "unknown":
                self._kill(latest, container, "unknown", "Container is in an unknown state")
            return False
        return not container.get("startupProbe") or self._found(latest).startup == "success"

    def _decide_regular(self, here: RuntimePod) -> None:
        kept = 0
        for container in self._regular:
            latest = here.latest(container["name"])
            if latest is None or latest.state != "running":
                if latest is not None and latest.state == "unknown":
                    self._kill(latest, container, "unknown", f"Container {container['name']} is in an unknown state")
                    kept += 1
                elif restarts.wanted(self._pod, container, latest):
                    self._start(container, latest or self._observed.latest(container["name"]))
                continue
            kept += 1
            self._ends_badly(container, latest)
        if not kept and not self._actions.start and not self._actions.waiting:
            self._finish()

    def _ends_badly(self, container: Object, latest: Container) -> bool:
        """Note a running instance's kill where its image changed or a probe failed it; whether it was noted."""
        name = container["name"]
        found = self._found(latest)
        if latest.hash and latest.hash != spec_hash(container):
            self._kill(latest, container, "changed", f"Container {name} definition changed")
        elif found.startup == "failure":
            self._kill(latest, container, "startup", f"Container {name} failed startup probe")
        elif found.liveness == "failure":
            self._kill(latest, container, "liveness", f"Container {name} failed liveness probe")
        else:
            return False
        return True

    def _decide_ephemeral(self, here: RuntimePod) -> None:
        if self._actions.finished:
            return
        for container in self._pod["spec"].get("ephemeralContainers") or []:
            if here.latest(container["name"]) is None:
                self._actions.start.append(Start(container=container))

    def _finish(self) -> None:
        self._actions.kill_pod = True
        self._actions.finished = True
        self._actions.kill.clear()
        self._actions.start.clear()

    def _found(self, instance: Container) -> Probed:
        return self._probed.get(instance.id, Probed())

    def _kill(self, instance: Container, container: Object, reason: Any, message: str) -> None:
        self._actions.kill.append(Kill(instance=instance, container=container, reason=reason, message=message))

    def _start(self, container: Object, after: Container | None) -> None:
        if after is not None and after.state == "exited" and after.finished_at is not None:
            seconds = restarts.wait(
                self._delays.get(container["name"]),
                finished=after.finished_at,
                now=self._now,
                maximum=self._maximum_delay,
            )
            if seconds > 0:
                self._actions.waiting.append(Waiting(container=container, after=after, seconds=seconds))
                return
        self._actions.start.append(Start(container=container, after=after))
