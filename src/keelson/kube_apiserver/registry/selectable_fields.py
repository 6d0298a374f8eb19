"""The fields that each resource can be selected by, beside metadata.name and metadata.namespace.

The table is upstream's ("Field Selectors", list of supported fields); a CRD version adds its own (KEP-4358).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
ALWAYS = ("metadata.name", "metadata.namespace")


def of(resource: Resource, extras: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths, in a fixed order."""
    declared = tuple(field["jsonPath"].lstrip(".") for field in extras.get("selectableFields", ()))
    return _FIELDS.get(resource.qualified, ()) + declared
