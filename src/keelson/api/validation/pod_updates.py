"""What may change in a Pod that exists, by which road (core/v1 Pod and its subresources)."""

from __future__ import annotations

import copy
from typing import Any

from keelson.api.meta import Object
from keelson.api.pods import qos_class
from keelson.api.strategies import same
from keelson.api.validation import causes, pods
from keelson.api.validation.causes import Causes

_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _deadline(out: Causes, new: Object, old: Object) -> None:
    deadline, before = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if deadline == before:
        return
    if deadline is None:
        out.append(causes.invalid(path, None, "must not update from a positive integer to nil value"))
    elif before is not None and deadline > before:
        out.append(causes.invalid(path, deadline, f"must be less than or equal to previous value: {before}"))


def _tolerations(out: Causes, new: list[Any], old: list[Any]) -> None:
    """Tolerations may be added, and those for a time may be given another one."""

    def timeless(toleration: Object) -> Object:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    kept = [timeless(toleration) for toleration in new]
    if any(timeless(toleration) not in kept for toleration in old):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        out.append(causes.forbidden("spec.tolerations", detail))


def _gates(out: Causes, new: Object, old: Object) -> None:
    before = [gate.get("name") for gate in old.get("schedulingGates") or ()]
    for gate in new.get("schedulingGates") or ():
        if gate.get("name") not in before:
            detail = "only deletion is allowed, but found new scheduling gate '" + str(gate.get("name")) + "'"
            out.append(causes.forbidden("spec.schedulingGates", detail))


def update(new: Object, old: Object) -> Causes:
    """An ordinary update: images, deadline, tolerations, and what a gated pod may still decide."""
    out: Causes = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for field in ("containers", "initContainers"):
        if len(spec.get(field) or ()) != len(before.get(field) or ()):
            detail = "pod updates may not add or remove containers"
            out.append(causes.forbidden(f"spec.{field}", detail))
    if out or spec == before:
        return out
    _deadline(out, spec, before)
    _tolerations(out, spec.get("tolerations") or [], before.get("tolerations") or [])
    _gates(out, spec, before)
    wanted = copy.deepcopy(spec)
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        wanted.pop(field, None)
        if field in before:
            wanted[field] = before[field]
    for field in ("containers", "initContainers"):
        for index, container in enumerate(wanted.get(field) or ()):
            if not container.get("image"):
                out.append(causes.required(f"spec.{field}[{index}].image"))
            container["image"] = before[field][index].get("image")
            container["imagePullPolicy"] = before[field][index].get("imagePullPolicy")
    if before.get("terminationGracePeriodSeconds", 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        wanted["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    if before.get("schedulingGates"):
        # Nobody has looked for a node yet: where it may run can still be narrowed.
        for field in ("nodeSelector", "affinity"):
            wanted.pop(field, None)
            if field in before:
                wanted[field] = before[field]
    if not same(wanted, before):
        out.append(causes.forbidden("spec", _MUTABLE))
    pods.pod_spec(out, "spec", spec)
    return out


def update_status(new: Object, old: Object) -> Causes:
    """A status update: a node's assignment is not its business, a finished container doesn't run again."""
    out: Causes = []
    status, before = new.get("status") or {}, old.get("status") or {}
    if (old.get("spec") or {}).get("restartPolicy") == "Always":
        return out
    ended = {
        found["name"] for found in before.get("containerStatuses") or () if "terminated" in (found.get("state") or {})
    }
    restartable = (old.get("spec") or {}).get("restartPolicy") == "OnFailure"
    for index, found in enumerate(status.get("containerStatuses") or ()):
        if found.get("name") in ended and "terminated" not in (found.get("state") or {}) and not restartable:
            path = f"status.containerStatuses[{index}].state"
            out.append(causes.forbidden(path, "may not be transitioned to non-terminated state"))
    return out


def update_ephemeral_containers(new: Object, old: Object) -> Causes:
    """Ephemeral containers are only ever added."""
    out: Causes = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    pods.pod_spec(out, "spec", spec)
    wanted = {found.get("name"): found for found in spec.get("ephemeralContainers") or ()}
    for found in before.get("ephemeralContainers") or ():
        name = found.get("name")
        if name not in wanted:
            detail = f'existing ephemeral containers "{name}" may not be removed\n'
            out.append(causes.forbidden("spec.ephemeralContainers", detail))
        elif not same(wanted[name], found):
            detail = f'existing ephemeral containers "{name}" may not be changed\n'
            out.append(causes.forbidden("spec.ephemeralContainers", detail))
    return out


def update_resize(new: Object, old: Object) -> Causes:
    """A resize changes amounts of CPU and memory, and never a pod's quality of service."""
    out: Causes = []
    pods.pod_spec(out, "spec", new.get("spec") or {})
    if qos_class(new) != qos_class(old):
        detail = "Pod QOS Class may not change as a result of resizing"
        out.append(causes.invalid("spec", qos_class(new), detail))
    return out


UPDATE = {
    ("v1", "Pod", ""): update,
    ("v1", "Pod", "status"): update_status,
    ("v1", "Pod", "ephemeralcontainers"): update_ephemeral_containers,
    ("v1", "Pod", "resize"): update_resize,
}
