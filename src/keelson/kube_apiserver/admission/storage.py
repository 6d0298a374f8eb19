"""StorageObjectInUseProtection and PersistentVolumeClaimResize: volumes outlive their use, and grow where they can.

Reads storage classes; writes finalizers of claims, volumes and volume attributes classes, which the protection
controllers take away again.
"""

from __future__ import annotations

from keelson.api import errors, meta, volume_claims

from .chains import CREATE, UPDATE, Attributes
from .lookups import Lookups


class StorageObjectInUseProtection:
    """What is in use is not removed before it no longer is (KEP-498)."""

    name = "StorageObjectInUseProtection"
    subjects = frozenset(volume_claims.PROTECTIONS)

    async def mutate(self, attributes: Attributes) -> None:
        """Give a new object its finalizer."""
        if attributes.operation != CREATE or attributes.subresource or attributes.object is None:
            return
        finalizer = volume_claims.PROTECTIONS.get(attributes.resource.qualified)
        if finalizer is None:
            return
        finalizers = attributes.object["metadata"].setdefault("finalizers", [])
        if finalizer not in finalizers:
            finalizers.append(finalizer)


class PersistentVolumeClaimResize:
    """A bound claim grows where its class allows it."""

    name = "PersistentVolumeClaimResize"
    subjects = frozenset({"persistentvolumeclaims"})

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def validate(self, attributes: Attributes) -> None:
        """Refuse with 403 a growth that nobody would carry out."""
        if attributes.qualified != "persistentvolumeclaims" or attributes.operation != UPDATE:
            return
        new, old = attributes.object, attributes.old
        if new is None or old is None or volume_claims.requested(new) <= volume_claims.requested(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            why = "Only bound persistent volume claims can be expanded"
            raise errors.forbidden("persistentvolumeclaims", attributes.name, why)
        name = volume_claims.class_of(new)
        found = None
        if name and name == volume_claims.class_of(old):
            found = await self._lookups.get("storageclasses.storage.k8s.io", "", name)
        if found is None or not found.get("allowVolumeExpansion"):
            why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
            raise errors.forbidden("persistentvolumeclaims", meta.name(new), f"{why}support resize")
