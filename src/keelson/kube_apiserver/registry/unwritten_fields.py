"""Fields that an endpoint does not write: who states them there neither changes nor owns them.

An object's own endpoint leaves its status alone, and that of its status all but the status; how much of the metadata
the latter leaves alone, too, is another thing for each kind, as upstream's strategies say it (KEP-555, "reset fields").
"""

from __future__ import annotations

from functools import cache

from keelson.api.patches import managed_fields
from keelson.api.patches.field_sets import Node

from .catalogues import Served

# Kinds whose status is written without any of the metadata.
_STATUS_ONLY = frozenset(
    {
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("apiregistration.k8s.io", "apiservices"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("internal.apiserver.k8s.io", "storageversions"),
        ("networking.k8s.io", "servicecidrs"),
        ("resource.k8s.io", "devicetaintrules"),
        ("resource.k8s.io", "resourceclaims"),
        ("resource.k8s.io", "resourcepoolstatusrequests"),
        ("scheduling.k8s.io", "podgroups"),
        ("storage.k8s.io", "volumeattachments"),
        ("storagemigration.k8s.io", "storageversionmigrations"),
    }
)
_REQUESTS = ("certificates.k8s.io", "certificatesigningrequests")
# What else than spec the status of a kind, or another subresource, leaves alone.
_SPECIAL = {
    ("", "pods", "status"): ("spec", "metadata.deletionTimestamp", "metadata.ownerReferences"),
    ("apps", "deployments", "status"): ("spec", "metadata.labels"),
    (*_REQUESTS, ""): ("spec", "status"),
    (*_REQUESTS, "status"): ("spec", "status.conditions"),
    (*_REQUESTS, "approval"): ("spec", "status.certificate"),
}

_fields = cache(managed_fields.reset_fields)


def of(served: Served, subresource: str) -> Node:
    """The fields that the endpoint of a subresource ("" for the object's own) does not write."""
    resource = served.resource
    if "status" not in resource.subresources:
        return _fields()
    special = _SPECIAL.get((resource.group, resource.plural, subresource))
    if special is not None:
        return _fields(*special)
    if subresource != "status":
        return _fields() if subresource else _fields("status")
    others = {name for name in served.schema.properties if name not in ("apiVersion", "kind", "metadata", "status")}
    if served.custom or (resource.group, resource.plural) in _STATUS_ONLY:
        others |= {"metadata", "spec"}
    return _fields(*sorted(others))
