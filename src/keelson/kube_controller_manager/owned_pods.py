"""Pods under a controller: which are its own, adopting orphans, creating and deleting with events.

The rules of ownership are those of the controller-ref design: a pod whose controller is the object (by UID) belongs
to it; an orphan that its selector matches is adopted; an owned pod that it no longer matches is released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from keelson.api import errors, meta, selectors
from keelson.api.meta import Object
from keelson.client.events import Recorder
from keelson.client.informers import Informer
from keelson.client.rest import Client
from keelson.client.work_queues import WorkQueue

from .decisions.pods import batches
from .own_writes import OwnWrites

BY_OWNER = "controllerUID"
BY_NAMESPACE = "namespace"


def owner_uid(obj: Object) -> list[str]:
    """Indexer: the UID of the object's controller."""
    found = meta.controller_of(obj)
    return [found["uid"]] if found is not None else []


def index(informer: Informer) -> None:
    """Give the informer the indices that this module asks."""
    informer.store.add_index(BY_OWNER, owner_uid)
    informer.store.add_index(BY_NAMESPACE, lambda obj: [meta.namespace(obj)] if not owner_uid(obj) else [])


def enqueue_owner(queue: WorkQueue, owners: Informer, kind: str, pods: Informer) -> None:
    """Whenever a pod changes, queue the owner of this kind that it has, had, or could get (an orphan)."""

    def changed(old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is None:
                continue
            controller = meta.controller_of(obj)
            if controller is not None:
                if controller.get("kind") == kind:
                    queue.add(meta.key_of(meta.namespace(obj), controller["name"]))
            elif obj is new and meta.labels(obj):
                for owner in owners.store:
                    if meta.namespace(owner) == meta.namespace(obj) and _selector(owner).matches(meta.labels(obj)):
                        queue.add(meta.key(owner))

    pods.add_handler(changed)


def _selector(owner: Object) -> selectors.Selector:
    stated = owner["spec"].get("selector")
    # A ReplicationController's selector is the labels themselves.
    return selectors.from_label_selector({"matchLabels": stated} if owner["apiVersion"] == "v1" and stated else stated)


class OwnedPods:
    """Reads and writes the pods of owners of one kind."""

    def __init__(self, client: Client, informer: Informer, recorder: Recorder) -> None:
        self._client = client
        self._informer = informer
        self._recorder = recorder
        self._writes = OwnWrites(informer)
        index(informer)

    async def claim(
        self, owner: Object, *, adopt: bool = True, belongs: Callable[[Object], bool] = lambda _: True
    ) -> list[Object]:
        """All pods that the owner controls, after adopting orphans and releasing what no longer matches.

        `belongs` is what a pod must be beside what the selector asks, for owners whose pods have names.
        """
        uid = meta.uid(owner)
        owned = self._writes.over(self._informer.store.by_index(BY_OWNER, uid), lambda pod: owner_uid(pod) == [uid])
        selector = _selector(owner)
        result = []
        for pod in owned:
            if (selector.matches(meta.labels(pod)) and belongs(pod)) or meta.is_deleting(owner):
                result.append(pod)
            else:
                await self._release(owner, pod)
        if not adopt or meta.is_deleting(owner):
            return result
        orphans = self._informer.store.by_index(BY_NAMESPACE, meta.namespace(owner))
        wanted = [
            pod for pod in orphans if not meta.is_deleting(pod) and selector.matches(meta.labels(pod)) and belongs(pod)
        ]
        return result + [await self._adopt(owner, pod) for pod in wanted]

    async def _adopt(self, owner: Object, pod: Object) -> Object:
        patch = {
            "metadata": {"uid": meta.uid(pod), "ownerReferences": [*meta.owners(pod), meta.owner_reference(owner)]}
        }
        return await self._client.patch("pods", meta.name(pod), patch, namespace=meta.namespace(pod))

    async def _release(self, owner: Object, pod: Object) -> None:
        rest = [found for found in meta.owners(pod) if found.get("uid") != meta.uid(owner)]
        patch = {"metadata": {"uid": meta.uid(pod), "ownerReferences": rest or None}}
        try:
            await self._client.patch("pods", meta.name(pod), patch, namespace=meta.namespace(pod))
        except errors.StatusError as error:
            if error.code != 404:
                raise

    def created(self, pod: Object) -> None:
        """Note a pod that the owner's controller created by itself."""
        self._writes.created(pod)

    async def create(self, owner: Object, fresh: Sequence[Object]) -> str:
        """Create these pods, slowly first; returns why it stopped, "" where all were created."""
        position = 0
        for size in batches(len(fresh)):
            results = await asyncio.gather(
                *(self._create(owner, pod) for pod in fresh[position : position + size]), return_exceptions=True
            )
            position += size
            if complaint := _complaint(results):
                return complaint
        return ""

    async def _create(self, owner: Object, pod: Object) -> None:
        try:
            created = await self._client.create("pods", pod)
        except errors.StatusError as error:
            if error.code != 404:
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._writes.created(created)
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(created)}")

    async def delete(self, owner: Object, doomed: Iterable[Object]) -> str:
        """Delete these pods; returns why one could not be, "" where all were."""
        results = await asyncio.gather(*(self._delete(owner, pod) for pod in doomed), return_exceptions=True)
        return _complaint(results)

    async def _delete(self, owner: Object, pod: Object) -> None:
        try:
            answer = await self._client.delete("pods", meta.name(pod), namespace=meta.namespace(pod), uid=meta.uid(pod))
        except errors.StatusError as error:
            if error.code == 404:
                return
            self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        self._writes.deleted(pod, answer)
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")


def _complaint(results: Sequence[BaseException | None]) -> str:
    """What the API server said of the first call that it refused, "" where it refused none; raises anything else."""
    for result in results:
        if isinstance(result, errors.StatusError):
            return result.message
        if result is not None:
            raise result
    return ""
