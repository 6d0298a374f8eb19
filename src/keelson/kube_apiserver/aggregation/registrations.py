"""Gives every group and version that this server serves itself an APIService, as upstream's autoregistration does.

Those of built-in groups are written at start and then left to the administrator (label "onstart"); those of CRDs follow
the CRDs for ever (label "true"). What nobody labelled is nobody's but its maker's.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.registry.deletions import Deletions
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.request_infos import RequestInfo
from keelson.storage.errors import StorageError

from . import priorities
from .priorities import Priority
from .routes import Routes

log = logging.getLogger(__name__)

LABEL = "kube-aggregator.kubernetes.io/automanaged"
ON_START, ALWAYS = "onstart", "true"
_RETRY_SECONDS = 1.0


def name_of(group: str, version: str) -> str:
    """The name that the APIService of a group and version must have."""
    return f"{version}.{group}"


def wanted(group: str, version: str, *, custom: bool) -> Object | None:
    """The APIService of a group and version that is served here; None where it has none. Pure."""
    priority: Priority | None = priorities.CUSTOM if custom else priorities.built_in(group, version)
    if priority is None or group == priorities.OWN_GROUP:
        return None
    spec: Object = {
        "version": version,
        "groupPriorityMinimum": priority.group,
        "versionPriority": priority.version,
    }
    if group:
        spec["group"] = group
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name_of(group, version), "labels": {LABEL: ALWAYS if custom else ON_START}},
        "spec": spec,
    }


class Registrations:
    """The worker of one instance."""

    def __init__(self, catalogue: Catalogue, objects: Objects, deletions: Deletions, routes: Routes) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._deletions = deletions
        self._routes = routes
        self._dirty = asyncio.Event()
        # Names of APIServices that were there at the start and that only the start may change.
        self._at_start: set[str] = set()
        self.completed = False

    async def run(self) -> None:
        """Work for ever. `Routes.start` must have returned."""
        self._at_start = self._routes.names()
        self._routes.observers.append(lambda _names: self.look())
        self.look()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if await self._reconcile():
                self.completed = True
            else:
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._dirty.set)

    def look(self) -> None:
        """Something may have changed: the APIServices or the CRDs."""
        self._dirty.set()

    def _wanted(self) -> dict[str, Object]:
        found: dict[str, Object] = {}
        for served in self._catalogue:
            resource = served.resource
            made = wanted(resource.group, resource.version, custom=served.custom)
            # A CRD in a group and version that is built in adds a resource, not an APIService.
            if made is not None and not (served.custom and meta.name(made) in found):
                found[meta.name(made)] = made
        return found

    async def _reconcile(self) -> bool:
        """Whether every APIService is as it should be now."""
        desired = self._wanted()
        names = sorted(desired.keys() | self._routes.names())
        return all(await asyncio.gather(*(self._one(name, desired.get(name)) for name in names)))

    async def _one(self, name: str, desired: Object | None) -> bool:
        try:
            await self._decide(name, desired)
        except (StorageError, errors.StatusError) as error:
            log.warning("APIService %s waits for its registration: %s", name, error)
            return False
        return True

    async def _decide(self, name: str, desired: Object | None) -> None:
        """Upstream's table of what is there, what is wanted, and who manages it."""
        found = self._routes.get(name)
        if desired is not None and meta.labels(desired)[LABEL] == ON_START and self.completed:
            return
        if found is None:
            if desired is not None:
                await self._create(desired)
            return
        managed = meta.labels(found).get(LABEL)
        if managed not in (ON_START, ALWAYS):
            return
        if managed == ON_START and (self.completed or name not in self._at_start):
            return
        if desired is None:
            await self._delete(name, found)
        elif found["spec"] != desired["spec"]:
            await self._update(name, desired)

    def _context(self, verb: str) -> Context:
        resource = self._routes.resource.resource
        info = RequestInfo(True, verb, "", resource.group, resource.version, resource=resource.plural)
        return Context(LOOPBACK, info, datetime.now(UTC), manager="kube-apiserver")

    async def _create(self, desired: Object) -> None:
        try:
            await self._objects.create(self._context("create"), self._routes.resource, "", desired)
        except errors.StatusError as error:
            # Another instance was faster.
            if error.reason != "AlreadyExists":
                raise

    async def _delete(self, name: str, found: Object) -> None:
        options: Object = {"preconditions": {"uid": meta.uid(found)}}
        try:
            await self._deletions.delete(self._context("delete"), self._routes.resource, "", name, options)
        except errors.StatusError as error:
            # Deleted or made anew meanwhile: its event brings us back.
            if error.code not in (404, 409):
                raise

    async def _update(self, name: str, desired: Object) -> None:
        def change(obj: Object) -> Object:
            return {**obj, "spec": desired["spec"]}

        try:
            await self._objects.update(self._context("update"), self._routes.resource, "", name, change)
        except errors.StatusError as error:
            if error.code not in (404, 409):
                raise
