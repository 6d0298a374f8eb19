"""The fields that each resource can be selected by, beside metadata.name and metadata.namespace.

The table is upstream's ("Field Selectors", list of supported fields); a CRD version adds its own (KEP-4358).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keelson.api.field_selectors import value_at
from keelson.api.resources import Resource

_EVENTS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)

_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": _EVENTS,
    "events.events.k8s.io": _EVENTS,
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "replicationcontrollers": ("status.replicas",),
    "replicasets.apps": ("status.replicas",),
    "jobs.batch": ("status.successful",),
    "certificatesigningrequests.certificates.k8s.io": ("spec.signerName",),
    "resourceslices.resource.k8s.io": ("spec.nodeName", "spec.driver"),
}
# Fields whose value is not what lies at their path, or that are never empty in Go's structs.
_READ: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "source": lambda event: value_at(event, "source.component") or value_at(event, "reportingComponent"),
    "spec.hostNetwork": lambda pod: value_at(pod, "spec.hostNetwork") or "false",
    "spec.unschedulable": lambda node: value_at(node, "spec.unschedulable") or "false",
    "status.replicas": lambda owner: value_at(owner, "status.replicas") or "0",
    "status.successful": lambda job: value_at(job, "status.succeeded") or "0",
}
_ALWAYS = ("metadata.name", "metadata.namespace")
# Upstream lists their fields, and has no namespace among them.
_NOWHERE = frozenset({"namespaces", "nodes"})


def is_general(resource: Resource, path: str) -> bool:
    """Whether the resource can be selected by a field that nearly all have."""
    return path in _ALWAYS and not (path == "metadata.namespace" and resource.qualified in _NOWHERE)


def of(resource: Resource, extras: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths, in a fixed order."""
    declared = tuple(field["jsonPath"].lstrip(".") for field in extras.get("selectableFields", ()))
    return _FIELDS.get(resource.qualified, ()) + declared


def reader(resource: Resource) -> Callable[[Mapping[str, Any], str], str]:
    """What reads the resource's selectable fields, by their paths; a custom resource's mean what they say."""
    if not any(path in _READ for path in _FIELDS.get(resource.qualified, ())):
        return value_at
    return _value


def _value(obj: Mapping[str, Any], path: str) -> str:
    read = _READ.get(path)
    return value_at(obj, path) if read is None else read(obj)
