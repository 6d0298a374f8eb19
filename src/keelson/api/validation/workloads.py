"""The rules for what keeps pods running (apps/v1; core/v1 ReplicationController; autoscaling/v1 Scale)."""

from __future__ import annotations

import re
from typing import Any

from keelson.api import selectors as label_selectors
from keelson.api.meta import Object
from keelson.api.strategies import same
from keelson.api.validation import causes, pods, selectors
from keelson.api.validation.causes import Causes

_PERCENT = re.compile(r"[0-9]+%", re.ASCII)
_RETENTIONS = ("Retain", "Delete")
_STATEFUL_MUTABLE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def int_or_percent(out: Causes, path: str, value: Any, *, at_most_all: bool = True) -> None:
    """A count, or a share in percent; absent is fine."""
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            detail = "a valid percent string must be a numeric string followed by an ending '%'"
            out.append(
                causes.invalid(path, value, f"{detail} (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")
            )
        elif at_most_all and int(value[:-1]) > 100:
            out.append(causes.invalid(path, value, "must not be greater than 100%"))
    else:
        causes.non_negative(out, path, value)


def _is_zero(value: Any) -> bool:
    return value in (0, "0%", None)


def _selector_and_template(out: Causes, spec: Object) -> None:
    """A workload selects its own pods, and nothing selects everything."""
    # Go's struct is there even where nobody states it.
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    matches = True
    if selector is None:
        out.append(causes.required("spec.selector"))
        matches = False
    else:
        before = len(out)
        selectors.label_selector(out, "spec.selector", selector)
        if selectors.is_empty(selector):
            detail = "empty selector is invalid for deployment"
            out.append(causes.invalid("spec.selector", selector, detail))
        elif len(out) == before:
            matches = label_selectors.from_label_selector(selector).matches(labels or {})
    if not matches:
        detail = "`selector` does not match template `labels`"
        out.append(causes.invalid("spec.template.metadata.labels", labels or None, detail))
    if template:
        pods.pod_template(out, "spec.template", template)
    else:
        out.append(causes.required("spec.template.spec.containers"))
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy not in ("Always", None):
        out.append(causes.unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in ReplicaSet is not Supported"
        out.append(causes.forbidden("spec.template.spec.activeDeadlineSeconds", detail))


def _counts(out: Causes, spec: Object, *fields: str) -> None:
    for field in fields:
        causes.non_negative(out, f"spec.{field}", spec.get(field))


def create_deployment(obj: Object) -> Causes:
    """A Deployment."""
    out: Causes = []
    spec = obj.get("spec") or {}
    _counts(out, spec, "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    _selector_and_template(out, spec)
    strategy = spec.get("strategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            out.append(causes.forbidden("spec.strategy.rollingUpdate", detail))
    elif kind == "RollingUpdate":
        _rolling(out, "spec.strategy.rollingUpdate", rolling)
    else:
        causes.one_of(out, "spec.strategy.type", kind, ("Recreate", "RollingUpdate"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        detail = "must be greater than minReadySeconds"
        out.append(causes.invalid("spec.progressDeadlineSeconds", deadline, detail))
    return out


def _rolling(out: Causes, path: str, rolling: Object | None) -> None:
    if rolling is None:
        out.append(causes.required(path, "this should be defaulted and never be nil"))
        return
    int_or_percent(out, f"{path}.maxUnavailable", rolling.get("maxUnavailable"))
    int_or_percent(out, f"{path}.maxSurge", rolling.get("maxSurge"), at_most_all=False)
    if _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
        detail = "may not be 0 when `maxSurge` is 0"
        out.append(causes.invalid(f"{path}.maxUnavailable", rolling.get("maxUnavailable"), detail))


def _fixed_selector(out: Causes, new: Object, old: Object) -> None:
    selector, before = (new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector")
    if not same(selector, before):
        out.append(causes.immutable("spec.selector", selector))


def update_deployment(new: Object, old: Object) -> Causes:
    """A change of a Deployment: its selector is for life."""
    out = create_deployment(new)
    _fixed_selector(out, new, old)
    return out


def create_replica_set(obj: Object) -> Causes:
    """A ReplicaSet."""
    out: Causes = []
    spec = obj.get("spec") or {}
    _counts(out, spec, "replicas", "minReadySeconds")
    _selector_and_template(out, spec)
    return out


def update_replica_set(new: Object, old: Object) -> Causes:
    """A change of a ReplicaSet: its selector is for life."""
    out = create_replica_set(new)
    _fixed_selector(out, new, old)
    return out


def create_daemon_set(obj: Object) -> Causes:
    """A DaemonSet."""
    out: Causes = []
    spec = obj.get("spec") or {}
    _counts(out, spec, "minReadySeconds", "revisionHistoryLimit")
    _selector_and_template(out, spec)
    strategy = spec.get("updateStrategy") or {}
    kind = strategy.get("type")
    if kind == "RollingUpdate":
        path, rolling = "spec.updateStrategy.rollingUpdate", strategy.get("rollingUpdate")
        _rolling(out, path, rolling)
        if rolling and not _is_zero(rolling.get("maxUnavailable")) and not _is_zero(rolling.get("maxSurge")):
            detail = "may not be set when maxUnavailable is non-zero"
            out.append(causes.invalid(f"{path}.maxSurge", rolling.get("maxSurge"), detail))
    else:
        causes.one_of(out, "spec.updateStrategy.type", kind, ("RollingUpdate", "OnDelete"))
    return out


def update_daemon_set(new: Object, old: Object) -> Causes:
    """A change of a DaemonSet: its selector is for life."""
    out = create_daemon_set(new)
    _fixed_selector(out, new, old)
    return out


def create_stateful_set(obj: Object) -> Causes:
    """A StatefulSet."""
    out: Causes = []
    spec = obj.get("spec") or {}
    _counts(out, spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    _selector_and_template(out, spec)
    causes.one_of(out, "spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel"))
    strategy = spec.get("updateStrategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "RollingUpdate":
        if rolling is not None:
            causes.non_negative(out, "spec.updateStrategy.rollingUpdate.partition", rolling.get("partition"))
            path = "spec.updateStrategy.rollingUpdate.maxUnavailable"
            int_or_percent(out, path, rolling.get("maxUnavailable"))
            if rolling.get("maxUnavailable") in (0, "0%"):
                out.append(causes.invalid(path, rolling["maxUnavailable"], "cannot be 0"))
    elif kind == "OnDelete":
        if rolling is not None:
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            out.append(causes.invalid("spec.updateStrategy.rollingUpdate", rolling, detail))
    else:
        causes.one_of(out, "spec.updateStrategy.type", kind, ("RollingUpdate", "OnDelete"))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for moment in ("whenDeleted", "whenScaled"):
        path = f"spec.persistentVolumeClaimRetentionPolicy.{moment}"
        causes.one_of(out, path, retention.get(moment), _RETENTIONS)
    causes.non_negative(out, "spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    return out


_STATEFUL_FREE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def update_stateful_set(new: Object, old: Object) -> Causes:
    """A change of a StatefulSet: what its pods and claims are named and made by is for life."""
    out = create_stateful_set(new)
    fixed = [
        {key: value for key, value in (obj.get("spec") or {}).items() if key not in _STATEFUL_FREE}
        for obj in (new, old)
    ]
    if not same(*fixed):
        out.append(causes.forbidden("spec", _STATEFUL_MUTABLE))
    return out


def create_replication_controller(obj: Object) -> Causes:
    """A ReplicationController, whose selector is a plain map."""
    out: Causes = []
    spec = obj.get("spec") or {}
    _counts(out, spec, "replicas", "minReadySeconds")
    selector, template = spec.get("selector") or {}, spec.get("template")
    if not selector:
        out.append(causes.required("spec.selector"))
    elif template is not None:
        labels = (template.get("metadata") or {}).get("labels") or {}
        if any(labels.get(key) != value for key, value in selector.items()):
            detail = "`selector` does not match template `labels`"
            out.append(causes.invalid("spec.template.metadata.labels", labels, detail))
    pods.pod_template(out, "spec.template", template)
    policy = ((template or {}).get("spec") or {}).get("restartPolicy")
    if policy not in ("Always", None):
        out.append(causes.unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    return out


def update_controller_revision(new: Object, old: Object) -> Causes:
    """A ControllerRevision's data is for life."""
    out = create_controller_revision(new)
    causes.unchanged(out, "data", new.get("data"), old.get("data"))
    return out


def create_controller_revision(obj: Object) -> Causes:
    """A ControllerRevision."""
    out: Causes = []
    causes.non_negative(out, "revision", obj.get("revision"))
    if obj.get("data") is None:
        out.append(causes.required("data", "data is mandatory"))
    return out


def scale(obj: Object) -> Causes:
    """A Scale that is put into a workload's scale subresource."""
    out: Causes = []
    _counts(out, obj.get("spec") or {}, "replicas")
    return out


_APPS = "apps/v1"
CREATE = {
    (_APPS, "Deployment"): create_deployment,
    (_APPS, "ReplicaSet"): create_replica_set,
    (_APPS, "DaemonSet"): create_daemon_set,
    (_APPS, "StatefulSet"): create_stateful_set,
    (_APPS, "ControllerRevision"): create_controller_revision,
    ("v1", "ReplicationController"): create_replication_controller,
}
UPDATE = {
    (_APPS, "Deployment", ""): update_deployment,
    (_APPS, "ReplicaSet", ""): update_replica_set,
    (_APPS, "DaemonSet", ""): update_daemon_set,
    (_APPS, "StatefulSet", ""): update_stateful_set,
    (_APPS, "ControllerRevision", ""): update_controller_revision,
}
