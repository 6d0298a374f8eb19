"""What admission and controllers both ask of claims and volumes: their class, their protection, their size."""

from __future__ import annotations

from decimal import Decimal

from keelson.api import meta, quantities
from keelson.api.meta import Object

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"
# Finalizers by the resource that they protect while it is in use ("Storage Object in Use Protection").
PROTECTIONS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}


def class_of(obj: Object) -> str:
    """The storage class that a claim or volume names, "" where none."""
    beta = meta.annotations(obj).get(BETA_CLASS)
    return beta if beta is not None else str((obj.get("spec") or {}).get("storageClassName") or "")


def names_no_class(claim: Object) -> bool:
    """Whether the claim leaves its class to the cluster; the empty name asks for none."""
    return (claim.get("spec") or {}).get("storageClassName") is None and BETA_CLASS not in meta.annotations(claim)


def default_class(classes: list[Object]) -> Object | None:
    """The cluster's default class: of several the newest, of two as new the first by name."""
    marked = [
        each for each in classes if "true" in map(meta.annotations(each).get, (DEFAULT_CLASS, BETA_DEFAULT_CLASS))
    ]
    marked.sort(key=meta.name)
    return max(marked, key=lambda each: str(meta.metadata(each).get("creationTimestamp") or ""), default=None)


def requested(claim: Object) -> Decimal:
    """How many bytes the claim asks for."""
    found = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    return quantities.parse(found) if found is not None else Decimal(0)


def capacity(volume: Object) -> Decimal:
    """How many bytes the volume has."""
    found = ((volume.get("spec") or {}).get("capacity") or {}).get("storage")
    return quantities.parse(found) if found is not None else Decimal(0)
