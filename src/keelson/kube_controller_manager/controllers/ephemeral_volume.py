"""ephemeral-volume-controller: the claims of pods' generic ephemeral volumes (KEP-1698).

Reads: pods, persistentvolumeclaims. Writes: claims, each owned by its pod and gone with it; events.
"""

from __future__ import annotations

import copy

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

CLAIMS = "persistentvolumeclaims"


def claim_for(pod: Object, volume: Object) -> Object:
    """The claim of one ephemeral volume."""
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    head = template.get("metadata") or {}
    metadata: Object = {
        "name": f"{meta.name(pod)}-{volume['name']}",
        "namespace": meta.namespace(pod),
        "ownerReferences": [meta.owner_reference({**pod, "apiVersion": "v1", "kind": "Pod"})],
    }
    for field in ("labels", "annotations"):
        if head.get(field):
            metadata[field] = dict(head[field])
    spec = copy.deepcopy(template.get("spec") or {})
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


class EphemeralVolumeController:
    """One reconcile per pod that has such volumes."""

    name = "ephemeral-volume-controller"
    account = "ephemeral-volume-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._recorder = context.recorder("ephemeral_volume")
        self._queue = WorkQueue("ephemeral_volume")
        self._pods = context.informers.informer("pods")
        self._claims = context.informers.informer(CLAIMS)
        self._pods.add_handler(self._pod_changed)
        self._claims.add_handler(self._claim_changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _pod_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and not meta.is_deleting(new) and _volumes(new):
            self._queue.add(meta.key(new))

    def _claim_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            return
        owner = meta.controller_of(_old or {})
        if owner is not None and owner["kind"] == "Pod":
            # Somebody deleted it under its pod.
            self._queue.add(meta.key_of(meta.namespace(_old or {}), owner["name"]))

    async def _reconcile(self, key: str) -> float | None:
        pod = self._pods.store.get(key)
        if pod is None or meta.is_deleting(pod):
            return None
        for volume in _volumes(pod):
            await self._ensure(pod, claim_for(pod, volume))
        return None

    async def _ensure(self, pod: Object, claim: Object) -> None:
        found = self._claims.store.get(meta.key(claim))
        if found is None:
            try:
                await self._client.create(CLAIMS, claim)
            except errors.StatusError as error:
                if error.reason != "AlreadyExists":
                    why = f"ephemeral volume {meta.name(claim)}: {error.message}"
                    self._recorder.event(pod, "Warning", "FailedCreate", why)
                    raise
                found = await self._client.get(CLAIMS, meta.name(claim), namespace=meta.namespace(claim))
        if found is not None and not any(owner.get("uid") == meta.uid(pod) for owner in meta.owners(found)):
            why = f"PVC {meta.key(found)} was not created for pod {meta.key(pod)} (pod is not owner)"
            raise errors.conflict(CLAIMS, meta.name(found), why)


def _volumes(pod: Object) -> list[Object]:
    return [volume for volume in (pod.get("spec") or {}).get("volumes") or () if volume.get("ephemeral")]
