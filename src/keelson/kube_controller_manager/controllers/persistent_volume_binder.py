"""persistentvolume-binder-controller: claims and volumes find each other.

Reads: persistentvolumeclaims, persistentvolumes, storageclasses.storage.k8s.io, pods. Writes: claims, volumes, their
status, events. Volumes are made and destroyed by external provisioners; nothing is provisioned in here.
"""

from __future__ import annotations

from keelson.api import errors, meta, volume_claims
from keelson.api.meta import Object
from keelson.client.informers import Informer
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import volume_bindings
from keelson.kube_controller_manager.own_writes import OwnWrites

CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
CLASSES = "storageclasses.storage.k8s.io"
_BY_CLAIM = "claims"


class PersistentVolumeBinderController:
    """One worker for claims and volumes alike, so that no two claims are bound to one volume."""

    name = "persistentvolume-binder-controller"
    account = "persistent-volume-binder"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._recorder = context.recorder("persistentvolume-controller")
        self._queue = WorkQueue("claims")
        self._claims = context.informers.informer(CLAIMS)
        self._volumes = context.informers.informer(VOLUMES)
        self._classes = context.informers.informer(CLASSES)
        self._pods = context.informers.informer("pods")
        self._pods.store.add_index(_BY_CLAIM, claims_of)
        self._claim_writes, self._volume_writes = OwnWrites(self._claims), OwnWrites(self._volumes)
        self._claims.add_handler(self._claim_changed)
        self._volumes.add_handler(self._volume_changed)
        self._classes.add_handler(lambda _old, _new: self._queue_unbound())
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile)

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old or {}
        if new is not None:
            self._queue.add(f"{CLAIMS}|{meta.key(new)}")
        if volume := (found.get("spec") or {}).get("volumeName"):
            self._queue.add(f"{VOLUMES}|{volume}")

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old or {}
        if new is not None:
            self._queue.add(f"{VOLUMES}|{meta.name(new)}")
        reference = (found.get("spec") or {}).get("claimRef")
        if reference:
            self._queue.add(f"{CLAIMS}|{meta.key_of(reference.get('namespace') or '', reference['name'])}")
        else:
            self._queue_unbound()

    def _queue_unbound(self) -> None:
        for claim in self._claims.store:
            if volume_bindings.COMPLETED not in meta.annotations(claim):
                self._queue.add(f"{CLAIMS}|{meta.key(claim)}")

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        # Only an event on a waiting claim depends on pods.
        if old is None and new is not None and not (new.get("spec") or {}).get("nodeName"):
            for key in claims_of(new):
                claim = self._claims.store.get(key)
                if claim is not None and volume_bindings.COMPLETED not in meta.annotations(claim):
                    self._queue.add(f"{CLAIMS}|{key}")

    async def _reconcile(self, key: str) -> float | None:
        resource, _, name = key.partition("|")
        if resource == CLAIMS:
            claim = _newest(self._claims, self._claim_writes, name)
            if claim is not None and not _is_gone(claim):
                await self._claim(claim)
        else:
            volume = _newest(self._volumes, self._volume_writes, name)
            if volume is not None:
                await self._volume(volume)
        return None

    async def _claim(self, claim: Object) -> None:
        seen = self._volume_writes.over(self._volumes.store, lambda _: True)
        volumes = {meta.name(volume): volume for volume in seen}
        classes = {meta.name(found): found for found in self._classes.store}
        pods = self._pods.store.by_index(_BY_CLAIM, meta.key(claim))
        waiting = [meta.name(pod) for pod in pods if not (pod.get("spec") or {}).get("nodeName")]
        step = volume_bindings.claim_step(claim, volumes, classes, waiting)
        if step.volume is not None:
            await self._bind(step.volume, claim)
            return
        if step.assign:
            spec = {**claim["spec"], "storageClassName": step.assign}
            await self._write(CLAIMS, {**claim, "spec": spec}, self._claim_writes)
            return
        if any(meta.annotations(claim).get(name) != value for name, value in step.annotations.items()):
            head = {**claim["metadata"], "annotations": {**meta.annotations(claim), **step.annotations}}
            claim = await self._write(CLAIMS, {**claim, "metadata": head}, self._claim_writes)
        for kind, reason, message in step.events:
            self._recorder.event(claim, kind, reason, message)
        if step.phase:
            await self._claim_phase(claim, step.phase, None)

    async def _bind(self, volume: Object, claim: Object) -> None:
        bound = volume_bindings.bound_volume(volume, claim)
        if bound is not volume:
            volume = await self._write(VOLUMES, bound, self._volume_writes)
        volume = await self._volume_phase(volume, "Bound", "")
        wanted = volume_bindings.bound_claim(claim, volume)
        if wanted is not claim:
            claim = await self._write(CLAIMS, wanted, self._claim_writes)
        await self._claim_phase(claim, "Bound", volume)

    async def _claim_phase(self, claim: Object, phase: str, volume: Object | None) -> None:
        status = volume_bindings.claim_status(claim, phase, volume)
        if status != claim.get("status"):
            await self._write(CLAIMS, {**claim, "status": status}, self._claim_writes, subresource="status")

    async def _volume_phase(self, volume: Object, phase: str, message: str) -> Object:
        old = volume.get("status") or {}
        if old.get("phase") == phase and (old.get("message") or "") == message:
            return volume
        status = {name: value for name, value in old.items() if name not in ("phase", "message", "reason")}
        status["phase"] = phase
        if message:
            status["message"] = message
        return await self._write(VOLUMES, {**volume, "status": status}, self._volume_writes, subresource="status")

    async def _write(self, resource: str, obj: Object, writes: OwnWrites, *, subresource: str = "") -> Object:
        written = await self._client.update(resource, obj, subresource=subresource)
        writes.created(written)
        return written

    async def _volume(self, volume: Object) -> None:
        step = volume_bindings.volume_step(volume, await self._claim_of(volume))
        for kind, reason, message in step.events:
            self._recorder.event(volume, kind, reason, message)
        if step.claim:
            self._queue.add(f"{CLAIMS}|{step.claim}")
        if step.unbind:
            volume = await self._write(VOLUMES, volume_bindings.unbound_volume(volume), self._volume_writes)
        if step.phase:
            await self._volume_phase(volume, step.phase, step.message)

    async def _claim_of(self, volume: Object) -> Object | None:
        """The claim that the volume is bound to; the server is asked before it is taken for gone."""
        reference = (volume.get("spec") or {}).get("claimRef") or {}
        if not reference.get("uid"):
            return None
        namespace, name = str(reference.get("namespace") or ""), str(reference["name"])
        claim = _newest(self._claims, self._claim_writes, meta.key_of(namespace, name))
        if claim is not None and meta.uid(claim) == reference["uid"]:
            return claim
        try:
            claim = await self._client.get(CLAIMS, name, namespace=namespace)
        except errors.StatusError as error:
            if error.code == 404:
                return None
            raise
        return claim if meta.uid(claim) == reference["uid"] else None


def claims_of(pod: Object) -> list[str]:
    """Indexer: the keys of the claims that a pod's volumes name, those of its ephemeral volumes too."""
    result = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            result.append(meta.key_of(meta.namespace(pod), volume["persistentVolumeClaim"]["claimName"]))
        elif volume.get("ephemeral"):
            result.append(meta.key_of(meta.namespace(pod), f"{meta.name(pod)}-{volume['name']}"))
    return result


def _newest(informer: Informer, writes: OwnWrites, key: str) -> Object | None:
    found = informer.store.get(key)
    shown = writes.over([found] if found is not None else [], lambda obj: meta.key(obj) == key)
    return shown[0] if shown else None


def _is_gone(claim: Object) -> bool:
    """Whether a claim is on its way out without ever having been bound."""
    bound = volume_bindings.COMPLETED in meta.annotations(claim)
    return meta.is_deleting(claim) and not bound and not volume_claims.class_of(claim)
