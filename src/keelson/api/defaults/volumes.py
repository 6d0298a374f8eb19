"""Defaults of volumes, persistent volumes and their claims, and storage classes (core/v1, storage.k8s.io/v1)."""

from __future__ import annotations

from typing import Any

from keelson.api.defaults.containers import pull_policy
from keelson.api.meta import Object

# 0644 in octal, as Kubernetes counts modes in decimal.
_FILE_MODE = 0o644
_SOURCE_DEFAULTS: dict[str, dict[str, Any]] = {
    "secret": {"defaultMode": _FILE_MODE},
    "configMap": {"defaultMode": _FILE_MODE},
    "downwardAPI": {"defaultMode": _FILE_MODE},
    "projected": {"defaultMode": _FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def _downward_items(items: list[Object]) -> None:
    for item in items:
        field = item.get("fieldRef")
        if field is not None and not field.get("apiVersion"):
            field["apiVersion"] = "v1"
        if "resourceFieldRef" in item:
            item["resourceFieldRef"].setdefault("divisor", "0")


def _source(volume: Object) -> None:
    for kind, found in volume.items():
        defaults = _SOURCE_DEFAULTS.get(kind)
        if defaults is not None:
            for key, value in defaults.items():
                found.setdefault(key, value)


def volume(volume: Object) -> None:
    """Defaults of one volume of a pod; one without a source is an empty directory."""
    if len(volume) == ("name" in volume):
        volume["emptyDir"] = {}
        return
    _source(volume)
    if "downwardAPI" in volume:
        _downward_items(volume["downwardAPI"].get("items") or [])
    elif "projected" in volume:
        for source in volume["projected"].get("sources") or ():
            if "serviceAccountToken" in source:
                source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
            elif "downwardAPI" in source:
                _downward_items(source["downwardAPI"].get("items") or [])
    elif "ephemeral" in volume:
        claim_spec((volume["ephemeral"].get("volumeClaimTemplate") or {}).get("spec"))
    elif "image" in volume and not volume["image"].get("pullPolicy"):
        volume["image"]["pullPolicy"] = pull_policy(volume["image"].get("reference") or "")


def claim_spec(spec: Object | None) -> None:
    """Defaults of a PersistentVolumeClaimSpec."""
    if spec is not None:
        spec.setdefault("volumeMode", "Filesystem")


def claim(obj: Object) -> None:
    """Defaults of a PersistentVolumeClaim."""
    claim_spec(obj.setdefault("spec", {}))
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"


def persistent_volume(obj: Object) -> None:
    """Defaults of a PersistentVolume."""
    spec = obj.setdefault("spec", {})
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    spec.setdefault("volumeMode", "Filesystem")
    _source(spec)
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"


def storage_class(obj: Object) -> None:
    """Defaults of a StorageClass."""
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def csi_driver(obj: Object) -> None:
    """Defaults of a CSIDriver."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("attachRequired", True)
    for flag in ("podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"):
        spec.setdefault(flag, False)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


KINDS = {
    ("v1", "PersistentVolume"): persistent_volume,
    ("v1", "PersistentVolumeClaim"): claim,
    ("storage.k8s.io/v1", "StorageClass"): storage_class,
    ("storage.k8s.io/v1", "CSIDriver"): csi_driver,
}
