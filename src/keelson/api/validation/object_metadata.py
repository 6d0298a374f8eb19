"""The rules for metadata: names, labels, annotations, owners, finalizers, and what may change (metav1.ObjectMeta)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.api.validation import causes, names
from keelson.api.validation.causes import Causes

ANNOTATIONS_LIMIT = 256 * 1024


def _ip_name(text: str) -> str:
    return names.ip_address(text)


# How objects are named where it isn't by an RFC 1123 subdomain.
_NAME_RULES: dict[str, Callable[[str], str]] = {
    "namespaces": names.dns_label,
    "services": names.dns_1035_label,
    "roles.rbac.authorization.k8s.io": names.path_segment,
    "rolebindings.rbac.authorization.k8s.io": names.path_segment,
    "clusterroles.rbac.authorization.k8s.io": names.path_segment,
    "clusterrolebindings.rbac.authorization.k8s.io": names.path_segment,
    "apiservices.apiregistration.k8s.io": names.path_segment,
    "ipaddresses.networking.k8s.io": _ip_name,
}


def label_map(out: Causes, path: str, found: dict[str, str]) -> None:
    """A map of labels: keys are qualified names, values short and plain."""
    for key, value in found.items():
        complaint = names.qualified_name(key)
        if complaint:
            out.append(causes.invalid(path, key, complaint))
        complaint = names.label_value(value)
        if complaint:
            out.append(causes.invalid(path, value, complaint))


def annotation_map(out: Causes, path: str, found: dict[str, str]) -> None:
    """A map of annotations: keys are qualified names whatever their case, 256 KiB in all."""
    size = 0
    for key, value in found.items():
        complaint = names.qualified_name(key.lower())
        if complaint:
            out.append(causes.invalid(path, key, complaint))
        size += len(key) + (len(value) if value.isascii() else len(value.encode()))
    if size > ANNOTATIONS_LIMIT:
        out.append(causes.too_long(path, ANNOTATIONS_LIMIT))


def _owners(out: Causes, base: str, owners: list[dict[str, Any]]) -> None:
    controller = ""
    for index, owner in enumerate(owners):
        path = f"{base}[{index}]"
        if not owner.get("apiVersion"):
            out.append(causes.invalid(f"{path}.apiVersion", "", "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                out.append(causes.invalid(f"{path}.{field}", "", "must not be empty"))
        if owner.get("kind") == "Event" and owner.get("apiVersion") == "v1":
            out.append(causes.invalid(path, owner, "Event is disallowed from being an owner"))
        if owner.get("controller"):
            if controller:
                detail = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {owner.get("kind")}/{owner.get("name")}'
                )
                out.append(causes.invalid(base, owners, detail))
            controller = f"{owner.get('kind')}/{owner.get('name')}"


def _finalizers(out: Causes, base: str, finalizers: list[str]) -> None:
    for index, finalizer in enumerate(finalizers):
        path = f"{base}[{index}]"
        complaint = names.qualified_name(finalizer)
        if complaint:
            out.append(causes.invalid(path, finalizer, complaint))
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        out.append(causes.invalid(base, finalizers, detail))


def _common(out: Causes, metadata: dict[str, Any], path: str = "metadata") -> None:
    labels = metadata.get("labels")
    if labels:
        label_map(out, f"{path}.labels", labels)
    annotations = metadata.get("annotations")
    if annotations:
        annotation_map(out, f"{path}.annotations", annotations)
    owners = metadata.get("ownerReferences")
    if owners:
        _owners(out, f"{path}.ownerReferences", owners)
    finalizers = metadata.get("finalizers")
    if finalizers:
        _finalizers(out, f"{path}.finalizers", finalizers)


def embedded(out: Causes, path: str, metadata: dict[str, Any]) -> None:
    """The metadata at `path` of a resource that is part of another: of any kind, and named or not."""
    for field in ("generateName", "name"):
        text = metadata.get(field)
        if text and (complaint := names.path_segment(text)):
            out.append(causes.invalid(f"{path}.{field}", text, complaint))
    namespace = metadata.get("namespace")
    if namespace and (complaint := names.dns_label(namespace)):
        out.append(causes.invalid(f"{path}.namespace", namespace, complaint))
    if (metadata.get("generation") or 0) < 0:
        detail = "must be greater than or equal to 0"
        out.append(causes.invalid(f"{path}.generation", metadata["generation"], detail))
    _common(out, metadata, path)


def name_rule(resource: Resource) -> Callable[[str], str]:
    """The syntax of the resource's names."""
    return _NAME_RULES.get(resource.qualified, names.dns_subdomain)


def create(resource: Resource, obj: Object) -> Causes:
    """The metadata of an object that is about to be created."""
    out: Causes = []
    metadata = meta.metadata(obj)
    rule = name_rule(resource)
    base = metadata.get("generateName")
    if base:
        complaint = names.as_prefix(rule, base)
        if complaint:
            out.append(causes.invalid("metadata.generateName", base, complaint))
    name = metadata.get("name")
    if not name:
        out.append(causes.required("metadata.name", "name or generateName is required"))
    else:
        complaint = rule(name)
        if complaint:
            out.append(causes.invalid("metadata.name", name, complaint))
    if resource.namespaced:
        if not metadata.get("namespace"):
            out.append(causes.required("metadata.namespace"))
        else:
            complaint = names.dns_label(metadata["namespace"])
            if complaint:
                out.append(causes.invalid("metadata.namespace", metadata["namespace"], complaint))
    elif metadata.get("namespace"):
        out.append(causes.forbidden("metadata.namespace", "not allowed on this type"))
    _common(out, metadata)
    return out


def template(out: Causes, path: str, metadata: dict[str, Any]) -> None:
    """The metadata of a template, of which only labels and annotations count."""
    if metadata.get("labels"):
        label_map(out, f"{path}.labels", metadata["labels"])
    if metadata.get("annotations"):
        annotation_map(out, f"{path}.annotations", metadata["annotations"])


_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def update(resource: Resource, new: Object, old: Object) -> Causes:
    """The metadata of an object that is about to replace another."""
    del resource  # Every kind's metadata obeys one set of rules here.
    out: Causes = []
    metadata, before = meta.metadata(new), meta.metadata(old)
    for field in _FIXED:
        if metadata.get(field) != before.get(field):
            out.append(causes.immutable(f"metadata.{field}", metadata.get(field)))
    if int(metadata.get("generation") or 0) < int(before.get("generation") or 0):
        out.append(causes.invalid("metadata.generation", metadata.get("generation"), "must not be decremented"))
    if before.get("deletionTimestamp"):
        added = [f for f in metadata.get("finalizers") or () if f not in (before.get("finalizers") or ())]
        if added:
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            out.append(causes.forbidden("metadata.finalizers", detail))
    _common(out, metadata)
    return out
