"""What is peculiar to single kinds when they are created and updated, in one table each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.strategies import pods, services
from keelson.api.strategies.comparisons import keep, same


def _create_namespace(obj: Object, _: datetime) -> None:
    finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    obj["status"] = {"phase": "Active"}
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = meta.name(obj)


def _create_pending(obj: Object, _: datetime) -> None:
    obj["status"] = {"phase": "Pending"}


def _create_volume(obj: Object, now: datetime) -> None:
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": meta.format_time(now)}


def time_phase(new: Object, old: Object, now: datetime) -> None:
    """A PersistentVolume's status tells when its phase changed, unless whoever writes it does (KEP-3762)."""
    status, before = new.setdefault("status", {}), old.get("status") or {}
    field = "lastPhaseTransitionTime"
    if status.get("phase") == before.get("phase"):
        if not status.get(field) and before.get(field):
            status[field] = before[field]
    elif status.get(field) in (None, before.get(field)):
        status[field] = meta.format_time(now)


def _create_load_balanced(obj: Object, _: datetime) -> None:
    obj["status"] = {"loadBalancer": {}}


def _create_job(obj: Object, _: datetime) -> None:
    """Labels the job's pods as its own and selects them, unless the user took that upon himself."""
    spec = obj.get("spec") or {}
    template = spec.get("template")
    if spec.get("manualSelector") or not isinstance(template, dict):
        return
    uid = meta.uid(obj)
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    for key, value in (("controller-uid", uid), ("job-name", meta.name(obj))):
        labels.setdefault(key, value)
        labels.setdefault(f"batch.kubernetes.io/{key}", value)
    selected = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    selected.setdefault("batch.kubernetes.io/controller-uid", uid)


_MOST_DIGITS = 18
# How often a DaemonSet's template was changed: a field until apps/v1, and this annotation since.
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _template_generation(obj: Object) -> int:
    text = meta.annotations(obj).get(_TEMPLATE_GENERATION, "")
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _create_daemon_set(obj: Object, _: datetime) -> None:
    annotations = {**meta.annotations(obj), _TEMPLATE_GENERATION: str(max(1, _template_generation(obj)))}
    obj["metadata"]["annotations"] = annotations


def _update_daemon_set(new: Object, old: Object) -> None:
    """The count is the system's to change, with the template."""
    changed = not same((new.get("spec") or {}).get("template"), (old.get("spec") or {}).get("template"))
    annotations = {**meta.annotations(new), _TEMPLATE_GENERATION: str(_template_generation(old) + changed)}
    new["metadata"]["annotations"] = annotations


def _store_crd_version(obj: Object) -> None:
    """status.storedVersions names every version that an object may be stored in."""
    stored = list((obj.get("status") or {}).get("storedVersions") or [])
    for version in (obj.get("spec") or {}).get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version.get("name"))
    obj["status"] = {**(obj.get("status") or {}), "storedVersions": stored}


def _create_crd(obj: Object, _: datetime) -> None:
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}}
    _store_crd_version(obj)


CREATE: dict[str, Callable[[Object, datetime], None]] = {
    "pods": pods.create,
    "namespaces": _create_namespace,
    "persistentvolumes": _create_volume,
    "persistentvolumeclaims": _create_pending,
    "services": _create_load_balanced,
    "ingresses.networking.k8s.io": _create_load_balanced,
    "daemonsets.apps": _create_daemon_set,
    "jobs.batch": _create_job,
    "customresourcedefinitions.apiextensions.k8s.io": _create_crd,
}


def _update_namespace(new: Object, old: Object) -> None:
    """Finalizers in spec have a road of their own ("finalize")."""
    keep(new, old, "spec")


def _update_secret(new: Object, old: Object) -> None:
    if not new.get("type"):
        keep(new, old, "type")


def _update_signing_request(new: Object, old: Object) -> None:
    """A request for a certificate is never changed; only its metadata takes this road."""
    keep(new, old, "spec", "status")


_APPROVAL = ("Approved", "Denied")


def _update_signing_status(new: Object, old: Object) -> None:
    """Signers write the certificate and may fail a request, but don't approve: those conditions stay as they were."""
    kept = [c for c in meta.conditions(old) if c.get("type") in _APPROVAL]
    rest = [c for c in meta.conditions(new) if c.get("type") not in _APPROVAL]
    if kept or rest or meta.conditions(new):
        new.setdefault("status", {})["conditions"] = [*kept, *rest]


def _update_approval(new: Object, old: Object) -> None:
    """Approvers write conditions, of whatever type, and nothing else."""
    status, conditions = {**(old.get("status") or {})}, meta.conditions(new)
    if conditions or "conditions" in status:
        status["conditions"] = conditions
    new["status"] = status


def time_signing_conditions(new: Object, old: Object, now: datetime) -> None:
    """Conditions of a signing request that come without times get them: those of the old one where it says the same."""
    for condition in meta.conditions(new):
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = meta.format_time(now)
        if not condition.get("lastTransitionTime"):
            same = (
                before["lastTransitionTime"]
                for before in meta.conditions(old)
                if before.get("lastTransitionTime")
                and all(before.get(key) == condition.get(key) for key in ("type", "status"))
            )
            condition["lastTransitionTime"] = next(same, meta.format_time(now))


def _update_deployment_status(new: Object, old: Object) -> None:
    keep(new["metadata"], meta.metadata(old), "labels")


def _update_crd(new: Object, _: Object) -> None:
    _store_crd_version(new)


UPDATE: dict[tuple[str, str], Callable[[Object, Object], None]] = {
    ("daemonsets.apps", ""): _update_daemon_set,
    ("namespaces", ""): _update_namespace,
    ("secrets", ""): _update_secret,
    ("services", ""): services.update,
    ("pods", "status"): pods.update_status,
    ("deployments.apps", "status"): _update_deployment_status,
    ("certificatesigningrequests.certificates.k8s.io", ""): _update_signing_request,
    ("certificatesigningrequests.certificates.k8s.io", "status"): _update_signing_status,
    ("certificatesigningrequests.certificates.k8s.io", "approval"): _update_approval,
    ("customresourcedefinitions.apiextensions.k8s.io", ""): _update_crd,
}
