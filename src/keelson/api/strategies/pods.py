"""What the subresources of a Pod may write, and what a new Pod's status says (core/v1 Pod)."""

from __future__ import annotations

import copy
from datetime import datetime

from keelson.api import meta, pods
from keelson.api.meta import Object
from keelson.api.strategies.comparisons import keep


def restrict(new: Object, old: Object, subresource: str) -> None:
    """Takes from `new` only what the subresource is for; all else stays as it was."""
    spec = new.get("spec") or {}
    kept = copy.deepcopy(old.get("spec") or {})
    if subresource == "ephemeralcontainers":
        keep(kept, spec, "ephemeralContainers")
    else:
        wanted = {c.get("name"): c for c in pods.containers(spec)}
        for container in pods.containers(kept):
            if container["name"] in wanted:
                keep(container, wanted[container["name"]], "resources", "resizePolicy")
        keep(kept, spec, "resources")
    new["spec"] = kept
    keep(new, old, "status")
    resource_version = new["metadata"].get("resourceVersion")
    generation = meta.metadata(old).get("generation")
    fields = new["metadata"].get("managedFields")
    new["metadata"] = {**meta.metadata(old)}
    for field, value in (("resourceVersion", resource_version), ("generation", generation), ("managedFields", fields)):
        if value is not None:
            new["metadata"][field] = value


def create(obj: Object, now: datetime) -> None:
    """The status of a pod that nobody has looked at yet."""
    spec = obj.setdefault("spec", {})
    if spec.get("serviceAccountName"):
        # Admission may have named the account after defaults were applied.
        spec["serviceAccount"] = spec["serviceAccountName"]
    obj["status"] = {"phase": "Pending", "qosClass": pods.qos_class(obj)}
    if spec.get("schedulingGates"):
        obj["status"]["conditions"] = meta.with_condition(
            [],
            type_="PodScheduled",
            status="False",
            reason="SchedulingGated",
            message="Scheduling is blocked due to non-empty scheduling gates",
            now=now,
        )


def update_status(new: Object, old: Object) -> None:
    """A status update never touches owners, deletion or the quality of service."""
    keep(new["metadata"], meta.metadata(old), "ownerReferences", "deletionTimestamp", "deletionGracePeriodSeconds")
    quality = (old.get("status") or {}).get("qosClass")
    if quality and isinstance(new.get("status"), dict):
        new["status"].setdefault("qosClass", quality)
