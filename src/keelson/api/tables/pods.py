"""How pods are printed: the one word that sums up what a pod's containers are doing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.tables.cells import NONE, Printer, age, columns, human_duration, labels, template_containers


def _terminated(state: Object) -> str:
    """The reason a container ended for, or what it ended with."""
    if state.get("reason"):
        return str(state["reason"])
    return f"Signal:{state['signal']}" if state.get("signal") else f"ExitCode:{state.get('exitCode', 0)}"


def _restartable(spec: Object) -> set[str]:
    """The init containers that run on beside the ordinary ones."""
    return {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}


class _Summary:
    """What is gathered on the way through a pod's container states."""

    def __init__(self, pod: Object) -> None:
        self.spec, self.status = pod.get("spec") or {}, pod.get("status") or {}
        self.reason = self.status.get("reason") or self.status.get("phase") or ""
        self.total = len(self.spec.get("containers") or ()) + len(_restartable(self.spec))
        self.ready = 0
        self.restarts = 0
        self.restarted_at: datetime | None = None

    def _count(self, container: Object) -> None:
        self.restarts += container.get("restartCount", 0)
        finished = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
        if finished:
            moment = meta.parse_time(finished)
            self.restarted_at = max(moment, self.restarted_at or moment)

    def _initialise(self) -> bool:
        """Whether an init container still holds the pod up; it then gives the reason."""
        restartable = _restartable(self.spec)
        wanted = len(self.spec.get("initContainers") or ())
        for index, container in enumerate(self.status.get("initContainerStatuses") or ()):
            self._count(container)
            state = container.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting")
            sidecar = container.get("name") in restartable
            if sidecar and container.get("ready"):
                self.ready += 1
            if terminated is not None and terminated.get("exitCode") == 0:
                continue
            if sidecar and container.get("started"):
                continue
            if terminated is not None:
                self.reason = f"Init:{_terminated(terminated)}"
            elif waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{index}/{wanted}"
            return True
        return False

    def _run(self) -> None:
        """The state of the ordinary containers; the first one listed has the last word."""
        self.restarts = 0 if not _restartable(self.spec) else self.restarts
        running = False
        for container in reversed(self.status.get("containerStatuses") or ()):
            self._count(container)
            state = container.get("state") or {}
            if (state.get("waiting") or {}).get("reason"):
                self.reason = state["waiting"]["reason"]
            elif "terminated" in state:
                self.reason = _terminated(state["terminated"])
            elif container.get("ready") and "running" in state:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if meta.condition_is({"status": self.status}, "Ready") else "NotReady"

    def read(self, pod: Object) -> None:
        gated = meta.condition(pod, "PodScheduled")
        if gated and gated.get("status") == "False" and gated.get("reason") == "SchedulingGated":
            self.reason = "SchedulingGated"
        if not self._initialise() or meta.condition_is(pod, "Initialized"):
            self._run()
        if meta.is_deleting(pod):
            if self.status.get("reason") == "NodeLost":
                self.reason = "Unknown"
            elif self.status.get("phase") not in ("Succeeded", "Failed"):
                self.reason = "Terminating"


def _cells(pod: Object, now: datetime) -> list[Any]:
    summary = _Summary(pod)
    summary.read(pod)
    restarts = str(summary.restarts)
    if summary.restarts and summary.restarted_at is not None:
        restarts += f" ({human_duration((now - summary.restarted_at).total_seconds())} ago)"
    status, spec = summary.status, summary.spec
    addresses = status.get("podIPs") or []
    gates = spec.get("readinessGates") or []
    passed = sum(1 for gate in gates if meta.condition_is(pod, gate.get("conditionType", "")))
    return [
        meta.name(pod),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        restarts,
        age(pod, now),
        (addresses[0].get("ip") if addresses else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{passed}/{len(gates)}" if gates else NONE,
    ]


def _template_cells(obj: Object, now: datetime) -> list[Any]:
    del now
    template = obj.get("template") or {}
    pod_labels = labels((template.get("metadata") or {}).get("labels"))
    return [meta.name(obj), *template_containers(template), pod_labels]


PRINTERS = {
    ("v1", "Pod"): Printer(
        columns("Name", "Ready", "Status", "Restarts", "Age", "IP*", "Node*", "Nominated Node*", "Readiness Gates*"),
        _cells,
    ),
    ("v1", "PodTemplate"): Printer(columns("Name", "Containers", "Images", "Pod Labels"), _template_cells),
}
