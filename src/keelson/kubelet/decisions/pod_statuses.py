"""A pod's status, from its spec, what the runtime has of it, its probes, and what it said before.

Rules: Pod Lifecycle (phase, conditions, readiness gates), KEP-3085 (PodReadyToStartContainers), KEP-5067
(observedGeneration), KEP-753 (sidecars).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

from .container_configs import is_sidecar
from .container_statuses import Obstacle, container_status
from .observations import RuntimePod
from .pod_actions import Probed
from .resource_limits import qos_class

# The conditions that the kubelet decides; it leaves all others as they are, DisruptionTarget of an eviction among them.
OWN_CONDITIONS = frozenset({"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a status takes besides the pod and its containers.

    `obstacles` are by container name, `messages` (termination messages) by container id. `over`: the pod will run
    nothing any more. `reason` and `message` are the pod's own, such as Evicted; `failed` then makes it Failed.
    """

    now: datetime
    host_ips: tuple[str, ...] = ()
    runtime: str = "containerd"
    probed: Mapping[str, Probed] = field(default_factory=dict)
    obstacles: Mapping[str, Obstacle] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    over: bool = False
    failed: bool = False
    reason: str = ""
    message: str = ""


def pod_status(pod: Object, observed: RuntimePod, around: Circumstances) -> Object:
    """The status to report."""
    spec, old = pod["spec"], pod.get("status") or {}
    init = _entries(pod, observed, around, "initContainers", "initContainerStatuses")
    initialized, why = _initialized(spec.get("initContainers") or [], init, bool(observed.running))
    regular = _entries(pod, observed, around, "containers", "containerStatuses", initialized=initialized)
    if not initialized and any("terminated" in s["state"] or "running" in s["state"] for s in regular):
        initialized, why = True, ""
    ephemeral = _entries(pod, observed, around, "ephemeralContainers", "ephemeralContainerStatuses")
    phase = _phase(pod, init, regular, initialized, around)
    status: dict[str, Any] = {"phase": phase, "qosClass": old.get("qosClass") or qos_class(pod)}
    if generation := meta.metadata(pod).get("generation"):
        status["observedGeneration"] = generation
    for name in ("reason", "message"):
        if value := getattr(around, name) or (old.get(name) if old.get("phase") == phase == "Failed" else ""):
            status[name] = value
    status["startTime"] = old.get("startTime") or meta.format_time(around.now)
    status |= _addresses(pod, observed, around, old)
    status["conditions"] = _conditions(pod, observed, around, phase, initialized, why, [*init, *regular])
    if phase == "Failed" and not observed.sandboxes and not old.get("containerStatuses"):
        # The node never took the pod: there is nothing to say of its containers.
        return status
    for name, entries in (
        ("initContainerStatuses", init),
        ("containerStatuses", regular),
        ("ephemeralContainerStatuses", ephemeral),
    ):
        if entries:
            status[name] = entries
    for name in ("nominatedNodeName", "resourceClaimStatuses", "resize"):
        if name in old:
            status[name] = old[name]
    return status


def _entries(
    pod: Object, observed: RuntimePod, around: Circumstances, section: str, status: str, *, initialized: bool = True
) -> list[Object]:
    containers = pod["spec"].get(section) or []
    old = {found["name"]: found for found in (pod.get("status") or {}).get(status) or []}
    reason = "ContainerCreating" if initialized and section != "initContainers" else "PodInitializing"
    result = [
        container_status(
            container,
            observed,
            old=old.get(container["name"]),
            obstacle=around.obstacles.get(container["name"]),
            probed=around.probed,
            runtime=around.runtime,
            waiting_reason=reason,
            init=section == "initContainers",
            over=around.over,
            messages=around.messages,
        )
        for container in containers
    ]
    return result if section == "initContainers" else sorted(result, key=lambda each: str(each["name"]))


def _initialized(containers: list[Object], statuses: list[Object], runs: bool) -> tuple[bool, str]:
    lacking = []
    for container, status in zip(containers, statuses, strict=True):
        terminated = status["state"].get("terminated")
        done = status["started"] if is_sidecar(container) else bool(terminated and terminated["exitCode"] == 0)
        if is_sidecar(container) and terminated and not runs:
            done = True
        if not done:
            lacking.append(container["name"])
    return not lacking, f"containers with incomplete status: [{' '.join(lacking)}]" if lacking else ""


def _addresses(pod: Object, observed: RuntimePod, around: Circumstances, old: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if around.host_ips:
        result["hostIP"] = around.host_ips[0]
        result["hostIPs"] = [{"ip": ip} for ip in around.host_ips]
    ips: tuple[str, ...] = ()
    if pod["spec"].get("hostNetwork"):
        ips = around.host_ips
    elif (sandbox := observed.ready_sandbox) is not None:
        ips = sandbox.ips
    elif around.over:
        # The address stays on record after the end, so that logs can be matched to it.
        ips = tuple(found["ip"] for found in old.get("podIPs") or [])
    if ips:
        result["podIP"] = ips[0]
        result["podIPs"] = [{"ip": ip} for ip in ips]
    return result


def _phase(pod: Object, init: list[Object], regular: list[Object], initialized: bool, around: Circumstances) -> str:
    old = (pod.get("status") or {}).get("phase")
    if old in {"Succeeded", "Failed"}:
        return str(old)
    if around.failed:
        return "Failed"
    if around.over:
        return _final(pod, init, regular)
    if not initialized:
        return "Pending"
    # Whatever has ended, an end of the pod it becomes only once nothing runs any more, sidecars included.
    begun = [s for s in regular if "waiting" not in s["state"] or (s.get("lastState") or {}).get("terminated")]
    return "Running" if len(begun) == len(regular) else "Pending"


def _final(pod: Object, init: list[Object], regular: list[Object]) -> str:
    """Succeeded where all that had to succeed did."""
    sidecars = {found["name"] for found in pod["spec"].get("initContainers") or [] if is_sidecar(found)}
    ended = [s["state"].get("terminated") for s in [*init, *regular] if s["name"] not in sidecars]
    return "Succeeded" if all(state is not None and state["exitCode"] == 0 for state in ended) else "Failed"


def _conditions(
    pod: Object,
    observed: RuntimePod,
    around: Circumstances,
    phase: str,
    initialized: bool,
    why: str,
    statuses: list[Object],
) -> list[Object]:
    generation = meta.metadata(pod).get("generation")
    extra = {"observedGeneration": generation} if generation else {}
    found = list((pod.get("status") or {}).get("conditions") or [])

    def say(type_: str, holds: bool, reason: str = "", message: str = "") -> None:
        nonlocal found
        found = meta.with_condition(
            found,
            type_=type_,
            status="True" if holds else "False",
            reason="" if holds and not reason else reason,
            message=message,
            now=around.now,
            **extra,
        )

    say("PodReadyToStartContainers", observed.ready_sandbox is not None and phase not in {"Succeeded", "Failed"})
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "")
    if phase == "Succeeded":
        say("Initialized", True, "PodCompleted")
    else:
        say("Initialized", initialized, "" if initialized else "ContainersNotInitialized", why)
    counted = {
        c["name"] for c in [*filter(is_sidecar, pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    }
    unready = [status["name"] for status in statuses if status["name"] in counted and not status["ready"]]
    message = f"containers with unready status: [{' '.join(unready)}]" if unready else ""
    if ended:
        say("Ready", False, ended)
        say("ContainersReady", False, ended)
    else:
        gate = _gate(pod, found)
        if unready:
            say("Ready", False, "ContainersNotReady", message)
        else:
            say("Ready", not gate, "ReadinessGatesNotReady" if gate else "", gate)
        say("ContainersReady", not unready, "ContainersNotReady" if unready else "", message)
    say("PodScheduled", True)
    return found


def _gate(pod: Object, conditions: list[Object]) -> str:
    """What is missing of the readiness gates, "" where nothing is."""
    holding = {found["type"]: found["status"] for found in conditions}
    lacking = []
    for gate in pod["spec"].get("readinessGates") or []:
        type_ = gate["conditionType"]
        if type_ not in holding:
            lacking.append(f'corresponding condition of pod readiness gate "{type_}" does not exist.')
        elif holding[type_] != "True":
            lacking.append(f'the status of pod readiness gate "{type_}" is not "True", but {holding[type_]}')
    return ", ".join(lacking)


def same(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two statuses say the same: nothing would be told by writing the one over the other."""
    return _normal(left) == _normal(right)


def _normal(status: Mapping[str, Any]) -> dict[str, Any]:
    result = {name: value for name, value in status.items() if value not in ("", None, [], {})}
    conditions = result.get("conditions") or []
    kept = [{k: v for k, v in found.items() if k != "lastProbeTime" and v not in ("", None)} for found in conditions]
    result["conditions"] = sorted(kept, key=lambda each: str(each.get("type")))
    return result
