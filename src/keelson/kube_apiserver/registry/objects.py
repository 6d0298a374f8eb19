"""The road of every write: prepare, default, admit, validate, then compare-and-swap in the store.

An update is computed from the cached object, which is nearly always the stored one; where the swap says that it was
not, the stored object is read and the update computed anew, so that a stale cache costs a round trip and never an
answer (upstream's GuaranteedUpdate).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson

from keelson.api import defaults, errors, meta, strategies, validation, zeros
from keelson.api.meta import Object
from keelson.api.patches import managed_fields
from keelson.api.resources import Resource
from keelson.kube_apiserver.admission.chains import CREATE, UPDATE, Attributes, Chain
from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.tracing import spans
from keelson.storage import errors as storage_errors
from keelson.storage.stores import Store
from keelson.storage.transformers import Encryption

from . import unwritten_fields
from .catalogues import Catalogue, Served
from .contexts import Context
from .custom_rules import CustomRules

# How long a read waits for the cache to be as fresh as the store before it gives up.
FRESH_SECONDS = 10.0
_NAME_ATTEMPTS = 8
_SWAP_ATTEMPTS = 32

log = logging.getLogger(__name__)

Hook = Callable[[Context, Object, "Object | None"], Awaitable[None]]
Change = Callable[[Object], "Object | Awaitable[Object]"]


class Stored:
    """An object as it is stored now, in the stored version, with the revision that a swap must expect."""

    __slots__ = ("item", "object", "revision")

    def __init__(self, item: Item, obj: Object) -> None:
        self.item = item
        self.object = obj
        self.revision = item.revision


class Hooks:
    """What single resources do around their writes; each may raise StatusError.

    `prepare` runs before validation of a create or update (allocation of addresses), `abandon` after a write that did
    not happen (or was a dry run), `stored` after one that did, `deleted` after an object is gone. `marked` completes an
    object whose deletion begins.
    """

    def __init__(self) -> None:
        self.prepare: dict[str, Hook] = {}
        self.abandon: dict[str, Hook] = {}
        self.stored: dict[str, Hook] = {}
        self.deleted: dict[str, Hook] = {}
        self.marked: dict[str, Callable[[Context, Object], None]] = {}


def translated(error: storage_errors.StorageError) -> errors.StatusError:
    """The answer to a request that the store could not serve."""
    if isinstance(error, storage_errors.CompactedError):
        return errors.expired("The provided continue parameter is too old: the revision has been compacted")
    if isinstance(error, storage_errors.FutureRevisionError):
        return errors.timeout("Too large resource version")
    if isinstance(error, storage_errors.UnavailableError):
        if error.ambiguous:
            return errors.timeout(f"the store did not confirm the request: {error}")
        return errors.StatusError(503, "ServiceUnavailable", str(error), {"retryAfterSeconds": 1})
    return errors.internal(str(error))


class Objects:
    """Reads and writes of stored objects."""

    def __init__(self, store: Store, feed: Feed, catalogue: Catalogue, admission: Chain) -> None:
        self._store = store
        self._feed = feed
        self._catalogue = catalogue
        self.admission = admission
        self.hooks = Hooks()
        self.custom_rules = CustomRules()
        self.event_ttl = 3600

    # --- reading

    async def fresh(self, served: Served, *, stored: bool = False) -> Collection:
        """The cache, with every write that was acknowledged before this call.

        Where a webhook converts, it is the cache of this version, or with `stored` that of the objects as they are
        stored.
        """
        try:
            async with asyncio.timeout(FRESH_SECONDS):
                collection = await self._feed.fresh(served.prefix)
                spans.event("watchCache fresh enough")
        except TimeoutError as error:
            raise errors.timeout("the watch cache did not catch up with the store in time") from error
        except storage_errors.StorageError as error:
            raise translated(error) from error
        return collection if served.view is None or stored else await served.view.ready()

    async def cached(self, served: Served, *, stored: bool = False) -> Collection:
        """The cache as it is; `stored` as with `fresh`."""
        loaded = self._feed.loaded(served.prefix)
        if loaded is not None and (served.view is None or stored):
            return loaded
        try:
            async with asyncio.timeout(FRESH_SECONDS):
                collection = await self._feed.ready(served.prefix)
        except TimeoutError as error:
            raise errors.timeout("the watch cache is not loaded yet") from error
        return collection if served.view is None or stored else await served.view.ready()

    def revision(self, served: Served) -> int:
        """The caches of this resource hold everything up to it."""
        return self._feed.revision if served.view is None else served.view.revision

    async def get(self, served: Served, namespace: str, name: str, *, stale: bool = False) -> Item:
        """One item; `stale` takes whatever the cache has. Raises StatusError 404."""
        collection = await (self.cached(served, stored=True) if stale else self.fresh(served, stored=True))
        key = served.key(namespace, name)
        item = collection.items.get(key) if served.view is None else await served.view.item(collection, key)
        if item is None:
            raise errors.not_found(served.resource.plural, name, group=served.resource.group)
        return item

    def item(self, served: Served, key: str, obj: Object, revision: int) -> Item:
        """The item of an object in the stored version; takes the object over."""
        return self._catalogue.collection(served).indexer.item(key, obj, revision)

    def object(self, served: Served, item: Item) -> Object:
        """The object of an item in the served version, the caller's own."""
        obj = item.object(served.stored_api_version, served.resource.kind)
        return served.conversion.from_stored(obj) if served.conversion is not None else obj

    async def _stored(self, served: Served, key: str) -> Stored | None:
        """What the store has."""
        try:
            found = await self._store.get(key)
        except storage_errors.StorageError as error:
            raise translated(error) from error
        if found.entry is None:
            return None
        try:
            decoded = self._catalogue.decode(served, key, found.entry.value)
        except storage_errors.TransformError as error:
            raise errors.internal(str(error)) from error
        if served.view is not None:
            decoded = await served.view.decoded(decoded)
        item = self.item(served, key, decoded, found.entry.mod_revision)
        return Stored(item, self.object(served, item))

    def _encode(self, served: Served, key: str, obj: Object) -> tuple[bytes, Object]:
        """(value to store, object in the stored version without its resourceVersion)."""
        stored = served.conversion.to_stored(obj) if served.conversion is not None else obj
        stored = {"apiVersion": served.stored_api_version, "kind": served.resource.kind, **stored}
        stored["apiVersion"] = served.stored_api_version
        stored["metadata"] = {k: v for k, v in stored["metadata"].items() if k not in ("resourceVersion", "selfLink")}
        value = self._encrypted(key, stored)
        if served.conversion is not None and served.reader is not None:
            # It is shown as it will be read: with the defaults of the stored version, which are not stored.
            stored = served.reader(orjson.loads(orjson.dumps(stored)))
        return value, stored

    def _encrypted(self, key: str, stored: Object) -> bytes:
        try:
            return self._catalogue.transformer.encode(key, orjson.dumps(stored))
        except storage_errors.TransformError as error:
            raise errors.internal(str(error)) from error

    async def _encoded(self, served: Served, key: str, obj: Object) -> tuple[bytes, Object]:
        """As `_encode` where a webhook makes the stored version: the object is then the served version's."""
        assert served.view is not None
        resource = served.resource
        shown = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        shown["metadata"] = {k: v for k, v in shown["metadata"].items() if k not in ("resourceVersion", "selfLink")}
        stored = await served.view.to_stored(shown)
        return self._encrypted(key, stored), shown

    def _ttl(self, served: Served) -> int:
        return self.event_ttl if served.resource.kind == "Event" and not served.custom else 0

    # --- writing

    async def create(
        self, context: Context, served: Served, namespace: str, obj: Object, *, owners: list[Any] | None = None
    ) -> Item:
        """Store a new object of the served version, decoded already. Raises StatusError."""
        resource = served.resource
        if served.custom:
            # History begins when the cache is loaded: before the write, so that a watch can begin at it.
            await self.cached(served, stored=True)
        metadata = obj.setdefault("metadata", {})
        self._place(resource, metadata, namespace)
        # As upstream, what is said here is owned, and neither what the system nor what admission adds.
        self._defaults(served, obj)
        if owners is None:
            owners = managed_fields.update(
                served.schema, None, obj, manager=context.manager, api_version=resource.api_version, now=context.now,
                reset=unwritten_fields.of(served, ""),
                empty={} if served.custom else zeros.of(resource.api_version, resource.kind),
            )  # fmt: skip
        base = metadata.get("generateName") if not metadata.get("name") else ""
        attempts = _NAME_ATTEMPTS if base else 1
        for attempt in range(attempts):
            if base:
                metadata["name"] = ""
            suffix = _suffix() if base else ""
            strategies.prepare_create(resource, obj, now=context.now, uid=str(uuid.uuid4()), suffix=suffix)
            try:
                return await self._create(context, served, namespace, obj, owners, generated=bool(base))
            except errors.StatusError as error:
                if error.reason != "AlreadyExists" or attempt + 1 == attempts:
                    raise
        raise errors.internal("no free name was found")

    def _place(self, resource: Resource, metadata: Object, namespace: str) -> None:
        if not resource.namespaced:
            if metadata.get("namespace"):
                metadata.pop("namespace")
            return
        if not metadata.get("namespace"):
            metadata["namespace"] = namespace
        elif metadata["namespace"] != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    def _defaults(self, served: Served, obj: Object) -> None:
        if served.custom:
            defaults.apply_structural(served.schema, obj)
        else:
            defaults.apply(served.resource, obj)

    async def _create(
        self,
        context: Context,
        served: Served,
        namespace: str,
        obj: Object,
        owners: list[Any],
        *,
        generated: bool,
    ) -> Item:
        resource = served.resource
        name = meta.name(obj)
        uid = meta.uid(obj)
        attributes = Attributes(context, CREATE, resource, namespace, name, object=obj, generated=generated)
        await self.admission.mutate(attributes)
        context.done("Mutating admission done")
        if attributes.changed:
            # Whoever changed the object may have changed what only the system says, too.
            metadata = obj.setdefault("metadata", {})
            metadata["name"] = attributes.name = name = metadata.get("name") or name
            self._place(resource, metadata, namespace)
            strategies.prepare_create(resource, obj, now=context.now, uid=uid)
        self._defaults(served, obj)
        managed_fields.set_on(obj, owners)
        key = served.key(namespace, name)
        prepare = self.hooks.prepare.get(resource.qualified)
        if prepare is not None:
            await prepare(context, obj, None)
        try:
            found = validation.validate_create(resource, obj)
            if served.custom:
                found += await self.custom_rules.causes(served, obj, None)
            self._validate(served, found, obj)
            context.done("Validation done")
            await self.admission.validate(attributes)
            context.done("Validating admission done")
            encoded = self._encode(served, key, obj) if served.view is None else await self._encoded(served, key, obj)
            value, stored = encoded
            if context.dry_run:
                if key in (await self.fresh(served, stored=True)).items:
                    raise errors.already_exists(resource.plural, name, group=resource.group)
                if (abandon := self.hooks.abandon.get(resource.qualified)) is not None:
                    await abandon(context, obj, None)
                return self.item(served, key, stored, 0)
            revision = await self._store.create(key, value, ttl=self._ttl(served))
            context.done("Write to database call succeeded")
            await self._feed.told(served.prefix, revision)
            context.done("Watchers told")
        except storage_errors.KeyExistsError as error:
            await self._abandon(context, served, obj, None)
            raise errors.already_exists(resource.plural, name, group=resource.group) from error
        except storage_errors.StorageError as error:
            # Whether the object is there is not known: what was allocated for it must stay.
            raise translated(error) from error
        except errors.StatusError:
            await self._abandon(context, served, obj, None)
            raise
        return self.item(served, key, stored, revision)

    async def _abandon(self, context: Context, served: Served, obj: Object, old: Object | None) -> None:
        abandon = self.hooks.abandon.get(served.resource.qualified)
        if abandon is not None:
            await abandon(context, obj, old)

    def _validate(self, served: Served, causes: Any, obj: Object) -> None:
        if causes:
            raise errors.invalid(served.resource.kind, meta.name(obj), causes, group=served.resource.group)

    async def current(self, served: Served, key: str, *, fresh: bool) -> Stored | None:
        """The object to change: out of the cache, or out of the store where `fresh`."""
        if not fresh:
            collection = await self.cached(served, stored=True)
            item = collection.items.get(key) if served.view is None else await served.view.item(collection, key)
            if item is not None:
                return Stored(item, self.object(served, item))
        return await self._stored(served, key)

    async def update(
        self,
        context: Context,
        served: Served,
        namespace: str,
        name: str,
        change: Change,
        *,
        subresource: str = "",
        owned: bool = False,
        admit: bool = True,
        options: Object | None = None,
    ) -> Item:
        """Change an object. `change` gets a copy of it and returns the new one; it may be asked several times.

        A resourceVersion or uid in what `change` returns is a precondition. `owned` says that `change` has set
        managedFields itself. Raises StatusError.
        """
        key = served.key(namespace, name)
        resource = served.resource
        fresh = False
        for _ in range(_SWAP_ATTEMPTS):
            stored = await self.current(served, key, fresh=fresh)
            context.done("Read from database" if fresh else "Object read from cache")
            if stored is None:
                raise errors.not_found(resource.plural, name, group=resource.group)
            try:
                return await self._update_once(
                    context,
                    served,
                    namespace,
                    name,
                    stored,
                    change,
                    subresource=subresource,
                    owned=owned,
                    admit=admit,
                    options=options or {},
                    fresh=fresh,
                )
            except storage_errors.RevisionConflictError:
                log.debug("%s was changed meanwhile", key)
            except errors.StatusError as error:
                # A refusal that was computed from a stale cache counts for nothing.
                if fresh or error.code not in (404, 409, 422) or not await self._is_stale(served, key, stored):
                    raise
            except storage_errors.StorageError as error:
                raise translated(error) from error
            fresh = True
        raise errors.conflict(resource.plural, name, errors.STALE, group=resource.group)

    async def _is_stale(self, served: Served, key: str, stored: Stored) -> bool:
        now = await self._stored(served, key)
        return now is None or now.revision != stored.revision

    async def _is_outdated(self, key: str) -> bool:
        """Whether the value is encrypted with a key that is not written with any more: a write of the same renews it.

        Only asked for what is encrypted; that is how all Secrets come under a new key ("kubectl replace").
        """
        transformer = self._catalogue.transformer
        if not isinstance(transformer, Encryption) or not transformer.encrypts(key):
            return False
        found = await self._store.get(key)
        return found.entry is not None and transformer.decode(key, found.entry.value)[1]

    async def _update_once(
        self,
        context: Context,
        served: Served,
        namespace: str,
        name: str,
        stored: Stored,
        change: Change,
        *,
        subresource: str,
        owned: bool,
        admit: bool,
        options: Object,
        fresh: bool,
    ) -> Item:
        resource = served.resource
        old = stored.object
        answer = change(self.object(served, stored.item))
        new = answer if isinstance(answer, dict) else await answer
        metadata = new.setdefault("metadata", {})
        self._place(resource, metadata, namespace)
        if metadata.get("name") and metadata["name"] != name:
            raise errors.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        metadata["name"] = name
        wanted = metadata.get("resourceVersion")
        if wanted and wanted != "0" and wanted != str(stored.revision):
            raise errors.conflict(resource.plural, name, errors.STALE, group=resource.group)
        if (uid := metadata.get("uid")) and uid != meta.uid(old):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid(old)}"
            raise errors.conflict(resource.plural, name, why, group=resource.group)
        # First, as the decoder does it upstream: what only leaves out what was defaulted changes nothing.
        self._defaults(served, new)
        strategies.prepare_update(resource, new, old, now=context.now, subresource=subresource)
        metadata = new["metadata"]
        attributes = Attributes(
            context, UPDATE, resource, namespace, name, subresource, object=new, old=old, options=options
        )
        if admit:
            await self.admission.mutate(attributes)
            context.done("Mutating admission done")
            if attributes.changed:
                metadata = new.setdefault("metadata", {})
                metadata["name"] = name
                self._place(resource, metadata, namespace)
                strategies.prepare_update(resource, new, old, now=context.now, subresource=subresource)
                metadata = new["metadata"]
            if attributes.changed or not served.custom:
                # The built-in plugins leave to defaults what they don't say; of a custom object they say nothing, and
                # what a subresource's write took over from the stored object is not defaulted by it.
                self._defaults(served, new)
        strategies.count_generation(resource, new, old, subresource=subresource)
        if not owned:
            settled = partial(
                managed_fields.update, served.schema, old, new, manager=context.manager,
                api_version=resource.api_version, now=context.now, subresource=subresource,
                reset=unwritten_fields.of(served, subresource),
            )  # fmt: skip
            fields = (
                settled()
                if served.versions is None
                else await served.versions.settle(lambda versions: settled(versions=versions))
            )
            managed_fields.set_on(new, fields)
        metadata["resourceVersion"] = str(stored.revision)
        prepare = self.hooks.prepare.get(resource.qualified) if not subresource else None
        if prepare is not None:
            await prepare(context, new, old)
        try:
            found = validation.validate_update(resource, new, old, subresource=subresource)
            if served.custom:
                found += await self.custom_rules.causes(served, new, old, subresource=subresource)
            self._validate(served, found, new)
            context.done("Validation done")
            if admit:
                await self.admission.validate(attributes)
                context.done("Validating admission done")
            if owned:
                _forget_times(new, old)
            if strategies.identical(new, old):
                if not fresh and await self._is_stale(served, stored.item.key, stored):
                    # It changes nothing in what was cached, but it would in what is stored.
                    raise storage_errors.RevisionConflictError(stored.item.key)
                if not await self._is_outdated(stored.item.key):
                    return stored.item
            item = await self._swap(context, served, stored, new)
        except (storage_errors.RevisionConflictError, errors.StatusError):
            if prepare is not None:
                await self._abandon(context, served, new, old)
            raise
        if prepare is not None:
            if context.dry_run:
                await self._abandon(context, served, new, old)
            elif (written := self.hooks.stored.get(resource.qualified)) is not None:
                await written(context, new, old)
        return item

    async def _swap(self, context: Context, served: Served, stored: Stored, new: Object) -> Item:
        if is_finished(new):
            # The last finalizer went: the deletion that waited for it happens now.
            return await self.remove(context, served, stored, new)
        return await self.replace(context, served, stored, new)

    async def replace(self, context: Context, served: Served, stored: Stored, new: Object) -> Item:
        """Store `new` in place of what is stored, as it is. Raises storage's RevisionConflictError."""
        key = stored.item.key
        value, obj = self._encode(served, key, new) if served.view is None else await self._encoded(served, key, new)
        if context.dry_run:
            return self.item(served, key, obj, stored.revision)
        revision = await self._store.update(key, value, expected=stored.revision, ttl=self._ttl(served))
        context.done("Write to database call succeeded")
        await self._feed.told(served.prefix, revision)
        context.done("Watchers told")
        return self.item(served, key, obj, revision)

    async def remove(self, context: Context, served: Served, stored: Stored, last: Object) -> Item:
        """Delete from the store; `last` is what is told of the object. Raises storage's RevisionConflictError."""
        key = stored.item.key
        # What is deleted is not stored again: no webhook need be asked what it would look like.
        _, obj = self._encode(served, key, last)
        if context.dry_run:
            return self.item(served, key, obj, stored.revision)
        revision = await self._store.delete(key, expected=stored.revision)
        context.done("Object deleted from database")
        await self._feed.told(served.prefix, revision)
        context.done("Watchers told")
        deleted = self.hooks.deleted.get(served.resource.qualified)
        if deleted is not None:
            await deleted(context, last, None)
        return self.item(served, key, obj, revision)


def _forget_times(new: Object, old: Object) -> None:
    """Leave the times of owners alone where an apply changed nothing else.

    What it states otherwise may mean what is there, once it is defaulted: then nothing has happened.
    """
    metadata, stands = new["metadata"], meta.metadata(old).get("managedFields") or []
    if managed_fields.differ_in_times_only(metadata.get("managedFields") or [], stands):
        before = {**new, "metadata": {**metadata, "managedFields": stands}}
        if before == old:
            managed_fields.set_on(new, stands)


def _suffix() -> str:
    return "".join([secrets.choice(strategies.SUFFIX_ALPHABET) for _ in range(strategies.SUFFIX_LENGTH)])


def is_finished(obj: Object) -> bool:
    """Whether nothing keeps an object that is being deleted: no finalizer, no grace period."""
    metadata = meta.metadata(obj)
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if obj.get("kind") == "Namespace" and (obj.get("spec") or {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
