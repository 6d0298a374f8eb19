"""How workloads are printed: apps/v1, batch/v1, autoscaling, policy/v1 and core/v1 ReplicationController."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.tables.cells import (
    NONE,
    UNKNOWN,
    UNSET,
    Printer,
    age,
    columns,
    human_duration,
    label_selector,
    labels,
    since,
    template_containers,
)


def _parts(obj: Object) -> tuple[Object, Object]:
    return obj.get("spec") or {}, obj.get("status") or {}


def _deployment(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [
        meta.name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *template_containers(spec.get("template")),
        label_selector(spec.get("selector")),
    ]


def _replica_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    selector = spec.get("selector")
    plain = obj.get("kind") == "ReplicationController"
    return [
        meta.name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        *template_containers(spec.get("template")),
        labels(selector) if plain else label_selector(selector),
    ]


def _daemon_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [
        meta.name(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        labels(((spec.get("template") or {}).get("spec") or {}).get("nodeSelector")),
        age(obj, now),
        *template_containers(spec.get("template")),
        label_selector(spec.get("selector")),
    ]


def _stateful_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [meta.name(obj), ready, age(obj, now), *template_containers(spec.get("template"))]


def _revision(obj: Object, now: datetime) -> list[Any]:
    owner = meta.controller_of(obj)
    name = NONE
    if owner is not None:
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        name = (
            f"{owner['kind'].lower()}.{group}/{owner['name']}" if group else f"{owner['kind'].lower()}/{owner['name']}"
        )
    return [meta.name(obj), name, obj.get("revision", 0), age(obj, now)]


def _job_state(obj: Object) -> str:
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if meta.condition_is(obj, kind):
            return word
    if meta.is_deleting(obj):
        return "Terminating"
    for kind in ("FailureTarget", "SuccessCriteriaMet"):
        if meta.condition_is(obj, kind):
            return kind
    return "Running"


def _job(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    succeeded, wanted = status.get("succeeded", 0), spec.get("completions")
    parallel = spec.get("parallelism") or 0
    if wanted is not None:
        done = f"{succeeded}/{wanted}"
    else:
        done = f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"
    duration = ""
    if status.get("startTime"):
        start = meta.parse_time(status["startTime"])
        end = meta.parse_time(status["completionTime"]) if status.get("completionTime") else now
        duration = human_duration((end - start).total_seconds())
    return [
        meta.name(obj),
        _job_state(obj),
        done,
        duration,
        age(obj, now),
        *template_containers(spec.get("template")),
        label_selector(spec.get("selector")),
    ]


def _cron_job(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    return [
        meta.name(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        *template_containers(inner.get("template")),
        label_selector(inner.get("selector")),
    ]


def _budget(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [
        meta.name(obj),
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        status.get("disruptionsAllowed", 0),
        age(obj, now),
    ]


_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metric(spec: Object, current: Object | None) -> str:
    """One metric as "now/wanted"."""
    kind = _SOURCES.get(spec.get("type", ""), "")
    target = (spec.get(kind) or {}).get("target") or {}
    value = ((current or {}).get(kind) or {}).get("current") or {}
    name = f"{(spec.get(kind) or {}).get('name', '')}: " if kind in ("resource", "containerResource") else ""
    if target.get("averageUtilization") is not None:
        now = f"{value['averageUtilization']}%" if value.get("averageUtilization") is not None else UNKNOWN
        return f"{name}{now}/{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        suffix = " (avg)" if kind in ("external", "object") else ""
        return f"{name}{value.get('averageValue', UNKNOWN)}/{target['averageValue']}{suffix}"
    return f"{name}{value.get('value', UNKNOWN)}/{target.get('value', UNKNOWN)}"


def _autoscaler(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    reference = spec.get("scaleTargetRef") or {}
    metrics, current = spec.get("metrics") or [], status.get("currentMetrics") or []
    shown = [_metric(metric, current[i] if i < len(current) else None) for i, metric in enumerate(metrics[:2])]
    targets = ", ".join(shown) or NONE
    if len(metrics) > 2:
        targets += f" + {len(metrics) - 2} more..."
    if "targetCPUUtilizationPercentage" in spec:
        have = status.get("currentCPUUtilizationPercentage")
        targets = f"cpu: {UNKNOWN if have is None else f'{have}%'}/{spec['targetCPUUtilizationPercentage']}%"
    return [
        meta.name(obj),
        f"{reference.get('kind', '')}/{reference.get('name', '')}",
        targets,
        str(spec.get("minReplicas", UNSET)),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def _scale(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [meta.name(obj), spec.get("replicas", 0), status.get("replicas", 0), age(obj, now)]


_TEMPLATE = ("Containers*", "Images*", "Selector*")
_REPLICAS = Printer(
    columns("Name", "Desired:integer", "Current:integer", "Ready:integer", "Age", *_TEMPLATE), _replica_set
)
_AUTOSCALER = Printer(columns("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"), _autoscaler)
PRINTERS = {
    ("apps/v1", "Deployment"): Printer(
        columns("Name", "Ready", "Up-to-date", "Available", "Age", *_TEMPLATE), _deployment
    ),
    ("apps/v1", "ReplicaSet"): _REPLICAS,
    ("v1", "ReplicationController"): _REPLICAS,
    ("apps/v1", "DaemonSet"): Printer(
        columns(
            "Name",
            "Desired:integer",
            "Current:integer",
            "Ready:integer",
            "Up-to-date:integer",
            "Available:integer",
            "Node Selector",
            "Age",
            *_TEMPLATE,
        ),
        _daemon_set,
    ),
    ("apps/v1", "StatefulSet"): Printer(columns("Name", "Ready", "Age", "Containers*", "Images*"), _stateful_set),
    ("apps/v1", "ControllerRevision"): Printer(columns("Name", "Controller", "Revision", "Age"), _revision),
    ("batch/v1", "Job"): Printer(columns("Name", "Status", "Completions", "Duration", "Age", *_TEMPLATE), _job),
    ("batch/v1", "CronJob"): Printer(
        columns(
            "Name", "Schedule", "Timezone", "Suspend:boolean", "Active:integer", "Last Schedule", "Age", *_TEMPLATE
        ),
        _cron_job,
    ),
    ("policy/v1", "PodDisruptionBudget"): Printer(
        columns("Name", "Min Available", "Max Unavailable", "Allowed Disruptions:integer", "Age"), _budget
    ),
    ("autoscaling/v2", "HorizontalPodAutoscaler"): _AUTOSCALER,
    ("autoscaling/v1", "HorizontalPodAutoscaler"): _AUTOSCALER,
    ("autoscaling/v1", "Scale"): Printer(columns("Name", "Desired:integer", "Available:integer", "Age"), _scale),
}
