"""Defaults of the small kinds of core/v1 and scheduling.k8s.io/v1 that describe a cluster and its tenants."""

from __future__ import annotations

import base64

from keelson.api.meta import Object

_NAME_LABEL = "kubernetes.io/metadata.name"


def namespace(obj: Object) -> None:
    """Defaults of a Namespace: its phase, and the label that selectors find it by."""
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Active"
    metadata = obj.setdefault("metadata", {})
    # With generateName alone the name isn't known yet; defaults run again when it is.
    if metadata.get("name"):
        labels = metadata.setdefault("labels", {})
        labels[_NAME_LABEL] = metadata["name"]


def node(obj: Object) -> None:
    """Defaults of a Node: all of its capacity is allocatable where its kubelet doesn't say otherwise."""
    status = obj.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def secret(obj: Object) -> None:
    """Defaults of a Secret. `stringData` is for writing only: it becomes part of `data`."""
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        for key, text in plain.items():
            data[key] = base64.b64encode(text.encode()).decode()
    if not obj.get("type"):
        obj["type"] = "Opaque"


def limit_range(obj: Object) -> None:
    """Defaults of a LimitRange: a container's default is its maximum, its default request its default or minimum."""
    for item in (obj.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        default = dict(item.get("max") or {}) | (item.get("default") or {})
        request = dict(item.get("min") or {}) | default | (item.get("defaultRequest") or {})
        if default:
            item["default"] = default
        if request:
            item["defaultRequest"] = request


def priority_class(obj: Object) -> None:
    """Defaults of a PriorityClass."""
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


KINDS = {
    ("v1", "Namespace"): namespace,
    ("v1", "Node"): node,
    ("v1", "Secret"): secret,
    ("v1", "LimitRange"): limit_range,
    ("scheduling.k8s.io/v1", "PriorityClass"): priority_class,
}
