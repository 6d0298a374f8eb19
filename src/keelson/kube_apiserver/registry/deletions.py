"""Deletion: preconditions, grace, and the finalizers that stand between a deleted object and its end.

An object without finalizers and without grace is removed at once. Else it is marked (deletionTimestamp) and removed by
the update that takes its last finalizer, or by the kubelet's second deletion with a grace period of 0. The propagation
policies are the finalizers `orphan` and `foregroundDeletion`, which the garbage collector takes away ("Garbage
Collection", API concepts "Resource deletion").
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from keelson.api import errors, meta, strategies
from keelson.api.meta import Object
from keelson.api.resources import ORPHANS_DEPENDENTS, Resource
from keelson.kube_apiserver.admission.chains import DELETE, Attributes
from keelson.kube_apiserver.caches.items import Item
from keelson.storage import errors as storage_errors

from .catalogues import Served
from .contexts import Context
from .objects import Objects, Stored, is_finished, translated

_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_JOBS_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_OWN_MARK = frozenset({"namespaces", "customresourcedefinitions.apiextensions.k8s.io"})
_SWAP_ATTEMPTS = 32
_PARALLEL = 16


class Outcome(NamedTuple):
    """What became of a deletion: the object is gone, or waits for finalizers or for its grace to end."""

    item: Item
    gone: bool


def checked_options(options: Object) -> Object:
    """DeleteOptions as they are, if they make sense. Raises StatusError 422."""
    policy = options.get("propagationPolicy")
    causes = []
    if policy is not None and policy not in ("Orphan", "Background", "Foreground"):
        message = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
        causes.append(errors.cause("propagationPolicy", "FieldValueNotSupported", message))
    if policy is not None and options.get("orphanDependents") is not None:
        message = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(errors.cause("propagationPolicy", "FieldValueInvalid", message))
    if causes:
        raise errors.invalid("DeleteOptions", "", causes, group="meta.k8s.io")
    return options


def finalizers(resource: Resource, obj: Object, options: Object) -> list[str]:
    """The object's finalizers once the propagation policy has had its say."""
    metadata = meta.metadata(obj)
    current = list(metadata.get("finalizers") or [])
    policy, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    if policy is None and orphan is None:
        if resource.qualified not in ORPHANS_DEPENDENTS or metadata.get("deletionTimestamp"):
            return current
        return current if {_ORPHAN, _FOREGROUND} & set(current) else [*current, _ORPHAN]
    wanted = ""
    if policy == "Orphan" or orphan is True:
        wanted = _ORPHAN
    elif policy == "Foreground":
        wanted = _FOREGROUND
    others = [name for name in current if name not in (_ORPHAN, _FOREGROUND)]
    return [*others, wanted] if wanted else others


def _warn(context: Context, resource: Resource, options: Object) -> None:
    unsaid = options.get("propagationPolicy") is None and options.get("orphanDependents") is None
    if unsaid and resource.qualified == "jobs.batch" and _JOBS_WARNING not in context.warnings:
        context.warnings.append(_JOBS_WARNING)


class Deletions:
    """The verbs delete and deletecollection."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def delete(
        self, context: Context, served: Served, namespace: str, name: str, options: Object, *, admit: bool = True
    ) -> Outcome:
        """Delete one object. Raises StatusError 404, 409."""
        key = served.key(namespace, name)
        resource = served.resource
        _warn(context, resource, options)
        fresh = False
        for _ in range(_SWAP_ATTEMPTS):
            stored = await self._objects.current(served, key, fresh=fresh)
            if stored is None:
                raise errors.not_found(resource.plural, name, group=resource.group)
            try:
                return await self._delete_once(context, served, stored, namespace, name, options, admit=admit)
            except storage_errors.RevisionConflictError:
                fresh = True
            except storage_errors.StorageError as error:
                raise translated(error) from error
            except errors.StatusError as error:
                if fresh or error.code != 409:
                    raise
                fresh = True
        raise errors.conflict(resource.plural, name, errors.STALE, group=resource.group)

    async def _delete_once(
        self,
        context: Context,
        served: Served,
        stored: Stored,
        namespace: str,
        name: str,
        options: Object,
        *,
        admit: bool,
    ) -> Outcome:
        resource, obj = served.resource, stored.object
        preconditions = options.get("preconditions") or {}
        uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
        if uid and uid != meta.uid(obj):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid(obj)}"
            raise errors.conflict(resource.plural, name, why, group=resource.group)
        if version and version != str(stored.revision):
            why = (
                f"Precondition failed: ResourceVersion in precondition: {version}, "
                f"ResourceVersion in object meta: {stored.revision}"
            )
            raise errors.conflict(resource.plural, name, why, group=resource.group)
        if admit:
            await self._objects.admission.delete(
                Attributes(context, DELETE, resource, namespace, name, old=obj, options=options)
            )
        new = self._marked(context, served, obj, options)
        if is_finished(new):
            # What goes at once was never marked; but a pod, which has a grace though it be of no seconds.
            marked = resource.qualified == "pods" or meta.metadata(obj).get("deletionTimestamp")
            last = new if marked else {**obj, "metadata": {**obj["metadata"]}}
            return Outcome(await self._objects.remove(context, served, stored, last), True)
        if new == obj:
            return Outcome(stored.item, False)
        return Outcome(await self._objects.replace(context, served, stored, new), False)

    def _marked(self, context: Context, served: Served, obj: Object, options: Object) -> Object:
        """The object as deletion leaves it; it is removed where nothing keeps it (`is_finished`)."""
        resource = served.resource
        seconds = strategies.graceful_seconds(resource, obj, options.get("gracePeriodSeconds"))
        metadata = dict(meta.metadata(obj))
        new: Object = {**obj, "metadata": metadata}
        left = finalizers(resource, obj, options)
        if left:
            metadata["finalizers"] = left
        else:
            metadata.pop("finalizers", None)
        pending = metadata.get("deletionTimestamp")
        before = metadata.get("deletionGracePeriodSeconds")
        if not pending or (before is not None and seconds < before):
            # A second deletion may shorten the grace of the first, never lengthen it.
            ends = context.now + timedelta(seconds=seconds)
            if pending and before:
                started = meta.parse_time(pending) - timedelta(seconds=before)
                ends = max(started + timedelta(seconds=seconds), context.now)
            metadata["deletionTimestamp"] = meta.format_time(ends)
            metadata["deletionGracePeriodSeconds"] = seconds
            if resource.qualified in _OWN_MARK:
                # Upstream's registries of these two mark them by themselves.
                del metadata["deletionGracePeriodSeconds"]
            elif strategies.bumps_generation(resource) and metadata.get("generation"):
                metadata["generation"] += 1
        if resource.qualified == "namespaces":
            new["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        if not pending and (marked := self._objects.hooks.marked.get(resource.qualified)) is not None:
            marked(context, new)
        return new

    async def delete_collection(self, context: Context, served: Served, items: Sequence[Item], options: Object) -> None:
        """Delete each of the objects. The first refusal ends it and is raised."""
        gate = asyncio.Semaphore(_PARALLEL)

        async def one(item: Item) -> None:
            async with gate:
                try:
                    await self.delete(context, served, item.namespace, item.name, options)
                except errors.StatusError as error:
                    # Somebody else deleted it meanwhile: that is what was wanted.
                    if error.code != 404:
                        raise

        try:
            async with asyncio.TaskGroup() as tasks:
                for item in items:
                    tasks.create_task(one(item))
        except BaseExceptionGroup as group:
            # Of refusals one is told; anything else goes its way as it is.
            refusals, others = group.split(errors.StatusError)
            if refusals is None or others is not None:
                raise
            raise _first(refusals) from group


def _first(refusals: BaseExceptionGroup[errors.StatusError]) -> errors.StatusError:
    found = refusals.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
