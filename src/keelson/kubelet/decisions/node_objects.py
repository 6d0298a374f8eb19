"""The Node object of this machine: what is registered, and what is reported of it again and again.

Rules: Node of the API reference, "Reserve Compute Resources" (allocatable), "Well-Known Labels", node conditions of the
Nodes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from keelson.api import meta, quantities
from keelson.api.meta import Object

# Announced where the kernel lets nothing be limited: what a pod's limits then do not do.
UNENFORCED = "keelson.dev/not-enforced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the machine is: sizes in bytes, identities as their files give them."""

    cpus: int
    memory: int
    disk: int
    hostname: str
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    boot_id: str
    system_uuid: str
    controllers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What changes from one report to the next. Each failure is "" where all is well."""

    now: datetime
    addresses: tuple[str, ...]
    runtime_version: str
    kubelet_version: str
    port: int
    not_ready: tuple[str, ...] = ()
    memory_pressure: bool = False
    disk_pressure: bool = False
    pid_pressure: bool = False
    images: Sequence[tuple[tuple[str, ...], int]] = ()
    handlers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration says of the node."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    max_pods: int = 110
    reserved: tuple[Mapping[str, str], ...] = ()
    eviction_hard: Mapping[str, str] = field(default_factory=dict)


def capacity(machine: Machine, settings: Settings) -> dict[str, str]:
    """The machine's whole resources as quantities."""
    return {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory // 1024}Ki",
        "ephemeral-storage": f"{machine.disk // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(settings.max_pods),
    }


_SIGNALS = {"memory": "memory.available", "ephemeral-storage": "nodefs.available"}


def allocatable(machine: Machine, settings: Settings) -> dict[str, str]:
    """Capacity less what is reserved for the system and what eviction keeps free."""
    result = capacity(machine, settings)
    for resource, text in list(result.items()):
        left = quantities.parse(text)
        for reserved in settings.reserved:
            left -= quantities.parse(reserved.get(resource, "0"))
        if signal := _SIGNALS.get(resource):
            left -= threshold(settings.eviction_hard.get(signal, "0"), quantities.parse(text))
        left = max(left, Decimal(0))
        if resource == "cpu":
            result[resource] = quantities.format(left)
        elif resource == "memory":
            result[resource] = f"{int(left) // 1024}Ki"
        else:
            result[resource] = str(int(left)) if resource != "pods" else text
    return result


def threshold(text: str, whole: Decimal) -> Decimal:
    """An eviction threshold: a quantity, or a percentage of the whole."""
    if text.endswith("%"):
        return whole * Decimal(text[:-1]) / 100
    return quantities.parse(text)


def own_labels(machine: Machine, name: str) -> dict[str, str]:
    """The labels that the node gives itself."""
    return {
        "kubernetes.io/hostname": machine.hostname or name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
    }


def node(machine: Machine, settings: Settings, report: Report) -> Object:
    """The object to register."""
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    if missing := sorted({"cpu", "memory", "pids"} - machine.controllers):
        annotations[UNENFORCED] = ",".join(missing)
    result: Object = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": settings.name,
            "labels": {**own_labels(machine, settings.name), **settings.labels},
            "annotations": annotations,
        },
        "spec": {},
    }
    if settings.taints:
        result["spec"]["taints"] = [dict(taint) for taint in settings.taints]
    return with_status(result, machine, settings, report)


def reconciled(existing: Object, fresh: Object) -> Object:
    """An existing node with the labels and annotations that are ours; what others put there stays."""
    metadata = meta.metadata(existing)
    wanted = meta.metadata(fresh)
    notes = {**(metadata.get("annotations") or {}), **wanted["annotations"]}
    if UNENFORCED not in wanted["annotations"]:
        notes.pop(UNENFORCED, None)
    return {
        **existing,
        "metadata": {
            **metadata,
            "labels": {**(metadata.get("labels") or {}), **wanted["labels"]},
            "annotations": notes,
        },
    }


def with_status(current: Object, machine: Machine, settings: Settings, report: Report) -> Object:
    """The node with its status as the machine is now."""
    status = dict(current.get("status") or {})
    status["capacity"] = {**(status.get("capacity") or {}), **capacity(machine, settings)}
    status["allocatable"] = {**(status.get("allocatable") or {}), **allocatable(machine, settings)}
    status["addresses"] = [
        *({"type": "InternalIP", "address": address} for address in report.addresses),
        {"type": "Hostname", "address": machine.hostname or settings.name},
    ]
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": report.port}}
    status["nodeInfo"] = {
        "machineID": machine.machine_id,
        "systemUUID": machine.system_uuid,
        "bootID": machine.boot_id,
        "kernelVersion": machine.kernel,
        "osImage": machine.os_image,
        "containerRuntimeVersion": report.runtime_version,
        "kubeletVersion": report.kubelet_version,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": machine.architecture,
    }
    status["images"] = [
        {"names": list(names), "sizeBytes": size}
        for names, size in sorted(report.images, key=lambda each: (-each[1], each[0]))[:50]
        if names
    ]
    if report.handlers:
        status["runtimeHandlers"] = [{"name": handler} for handler in report.handlers]
    status["conditions"] = _conditions(status.get("conditions") or [], report)
    return {**current, "status": status}


def _conditions(current: Sequence[Mapping[str, Any]], report: Report) -> list[dict[str, Any]]:
    beat = meta.format_time(report.now)
    result = [dict(found) for found in current]

    def say(type_: str, holds: bool, reason: str, message: str) -> None:
        nonlocal result
        result = meta.with_condition(
            result,
            type_=type_,
            status="True" if holds else "False",
            reason=reason,
            message=message,
            now=report.now,
            lastHeartbeatTime=beat,
        )

    for type_, pressed, bad, good, resource in (
        (
            "MemoryPressure",
            report.memory_pressure,
            "KubeletHasInsufficientMemory",
            "KubeletHasSufficientMemory",
            "memory",
        ),
        ("DiskPressure", report.disk_pressure, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "disk"),
        ("PIDPressure", report.pid_pressure, "KubeletHasInsufficientPID", "KubeletHasSufficientPID", "PID"),
    ):
        state = "insufficient" if pressed else "sufficient"
        message = f"kubelet has {state} {resource} available"
        if resource == "disk":
            message = "kubelet has disk pressure" if pressed else "kubelet has no disk pressure"
        say(type_, pressed, bad if pressed else good, message)
    if report.not_ready:
        say("Ready", False, "KubeletNotReady", "; ".join(report.not_ready))
    else:
        say("Ready", True, "KubeletReady", "kubelet is posting ready status")
    return result


def differs(old: Object, new: Object) -> bool:
    """Whether the status changed in more than its heartbeats."""
    return _without_beats(old) != _without_beats(new)


def _without_beats(found: Object) -> dict[str, Any]:
    status = dict(found.get("status") or {})
    status["conditions"] = [
        {key: value for key, value in condition.items() if key != "lastHeartbeatTime"}
        for condition in status.get("conditions") or []
    ]
    return status
