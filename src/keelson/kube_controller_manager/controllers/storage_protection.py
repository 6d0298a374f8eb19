"""The protection controllers: claims, volumes and volume attributes classes go once nothing uses them.

Reads: persistentvolumeclaims, persistentvolumes, volumeattributesclasses.storage.k8s.io, pods. Writes: their
finalizers. Rules: Kubernetes documentation, "Storage Object in Use Protection"; what uses what is stated by each class
below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from keelson.api import errors, meta, volume_claims
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

from .persistent_volume_binder import CLAIMS, VOLUMES, claims_of

ATTRIBUTES_CLASSES = "volumeattributesclasses.storage.k8s.io"
_BY_CLAIM = "claims"


class _Protection(ABC):
    """One reconcile per object: the finalizer comes where it is missing, and goes where what is deleted is not used."""

    name: str
    account: str
    resource: str
    queue: str

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue(self.queue)
        self._objects = context.informers.informer(self.resource)
        self._objects.add_handler(self._changed)
        self._finalizer = volume_claims.PROTECTIONS[self.resource]

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile)

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and meta.is_deleting(new) == (self._finalizer in _finalizers(new)):
            self._queue.add(meta.key(new))

    @abstractmethod
    async def _is_used(self, obj: Object) -> bool: ...

    async def _reconcile(self, key: str) -> float | None:
        obj = self._objects.store.get(key)
        if obj is None:
            return None
        found = _finalizers(obj)
        if meta.is_deleting(obj):
            if self._finalizer not in found or await self._is_used(obj):
                return None
            wanted = [name for name in found if name != self._finalizer]
        elif self._finalizer not in found:
            # Made before the admission plugin was there.
            wanted = [*found, self._finalizer]
        else:
            return None
        head = {**obj["metadata"], "finalizers": wanted}
        try:
            await self._client.update(self.resource, {**obj, "metadata": head})
        except errors.StatusError as error:
            if error.code != 404:
                raise
        return None


def _finalizers(obj: Object) -> list[str]:
    return list(meta.metadata(obj).get("finalizers") or ())


class PersistentVolumeClaimProtectionController(_Protection):
    """A claim is used by every pod on a node that mounts it."""

    name = "persistentvolumeclaim-protection-controller"
    account = "pvc-protection-controller"
    resource = CLAIMS
    queue = "pvcprotection"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = context.informers.informer("pods")
        self._pods.store.add_index(_BY_CLAIM, claims_of)
        self._pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            for key in claims_of(pod) if pod is not None else ():
                claim = self._objects.store.get(key)
                if claim is not None and meta.is_deleting(claim):
                    self._queue.add(key)

    async def _is_used(self, obj: Object) -> bool:
        if any(_uses(pod, obj) for pod in self._pods.store.by_index(_BY_CLAIM, meta.key(obj))):
            return True
        # The informer may lack the newest pods: data is at stake, so the server is asked.
        answer = await self._client.list("pods", namespace=meta.namespace(obj))
        return any(_uses(pod, obj) for pod in answer.get("items") or ())


def _uses(pod: Object, claim: Object) -> bool:
    spec = pod.get("spec") or {}
    # No kubelet starts a pod with a claim that is being deleted.
    if not spec.get("nodeName"):
        return False
    for volume in spec.get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == meta.name(claim):
            return True
        own = volume.get("ephemeral") and f"{meta.name(pod)}-{volume['name']}" == meta.name(claim)
        if own and not _is_shut_down(pod) and any(owner.get("uid") == meta.uid(pod) for owner in meta.owners(claim)):
            return True
    return False


def _is_shut_down(pod: Object) -> bool:
    # The kubelet is done with it: a finalizer that waits for this very claim must not wait for ever.
    return meta.is_deleting(pod) and meta.metadata(pod).get("deletionGracePeriodSeconds") == 0


class PersistentVolumeProtectionController(_Protection):
    """A volume is used while it is bound."""

    name = "persistentvolume-protection-controller"
    account = "pv-protection-controller"
    resource = VOLUMES
    queue = "pvprotection"

    async def _is_used(self, obj: Object) -> bool:
        return bool((obj.get("status") or {}).get("phase") == "Bound")


class VolumeAttributesClassProtectionController(_Protection):
    """A class is used by the volumes that have it, and by the claims that have it or want it."""

    name = "volumeattributesclass-protection-controller"
    account = "volumeattributesclass-protection-controller"
    resource = ATTRIBUTES_CLASSES
    queue = "vacprotection"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._claims = context.informers.informer(CLAIMS)
        self._volumes = context.informers.informer(VOLUMES)
        for informer in (self._claims, self._volumes):
            informer.add_handler(self._user_changed)

    def _user_changed(self, old: Object | None, new: Object | None) -> None:
        for name in _classes(old or {}) - _classes(new or {}):
            self._queue.add(name)

    async def _is_used(self, obj: Object) -> bool:
        name = meta.name(obj)
        if any(name in _classes(found) for store in (self._claims.store, self._volumes.store) for found in store):
            return True
        for resource in (CLAIMS, VOLUMES):
            answer = await self._client.list(resource)
            if any(name in _classes(found) for found in answer.get("items") or ()):
                return True
        return False


def _classes(obj: Object) -> set[str]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    found = (
        spec.get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {str(name) for name in found if name}
