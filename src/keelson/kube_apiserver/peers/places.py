"""Where each instance is to be reached by its peers: a key with a time to live at `peerserverleases/IDENTITY`.

Upstream's form (an Endpoints object, labelled with the identity), so that servers of both kinds find each other.
"""

from __future__ import annotations

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.registry import catalogues
from keelson.storage import errors as storage_errors
from keelson.storage.stores import Store

_LEASE_SECONDS = 15
_LABEL = "apiserverIdentity"


class PlaceError(Exception):
    """An instance that states no place; the text says why."""


class Places:
    """The places of all instances, read from the store when they are needed."""

    def __init__(self, store: Store, root: str) -> None:
        self._store = store
        self._prefix = f"{root}peerserverleases/"

    async def keep(self, identity: str, host: str, port: int) -> None:
        """State, for some seconds, where an instance is. Raises StorageError."""
        key = self._prefix + identity
        value = _stated(identity, host, port)
        found = await self._store.get(key)
        try:
            if found.entry is None:
                await self._store.create(key, value, ttl=_LEASE_SECONDS)
            else:
                await self._store.update(key, value, expected=found.entry.mod_revision, ttl=_LEASE_SECONDS)
        except (storage_errors.KeyExistsError, storage_errors.RevisionConflictError):
            # Somebody of the same identity keeps it alive, or it ended just now: the next round sees which.
            return

    async def withdraw(self, identity: str) -> None:
        """Take a place back. Raises StorageError."""
        key = self._prefix + identity
        found = await self._store.get(key)
        if found.entry is not None:
            await self._store.delete(key, expected=found.entry.mod_revision)

    async def find(self, identity: str) -> tuple[str, int]:
        """Host and port of an instance. Raises PlaceError, StorageError."""
        found = await self._store.get(self._prefix + identity)
        if found.entry is None:
            raise PlaceError(f"no endpoint is known of {identity}")
        try:
            return _read(catalogues.parse(found.entry.value))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, errors.StatusError) as error:
            raise PlaceError(f"the endpoint of {identity} can't be read: {error}") from error


def _stated(identity: str, host: str, port: int) -> bytes:
    return orjson.dumps(
        {
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": {"name": identity, "labels": {_LABEL: identity}},
            "subsets": [{"addresses": [{"ip": host}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
        }
    )


def _read(endpoints: Object) -> tuple[str, int]:
    if _LABEL not in meta.labels(endpoints):
        raise KeyError(_LABEL)
    subset = endpoints["subsets"][0]
    return str(subset["addresses"][0]["ip"]), int(subset["ports"][0]["port"])
