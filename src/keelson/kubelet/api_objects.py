"""The objects that pods refer to, out of the API: the driver behind `environs.Objects`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.informers import Store
from keelson.client.rest import Client

from .decisions.environments import ConfigError
from .object_caches import ObjectCache, TokenCache, secret_content
from .volumes.projections import VolumeError


class ApiObjects:
    """Fetches through caches; services come from an informer's store."""

    def __init__(self, client: Client, services: Store, now: Callable[[], datetime]) -> None:
        self._cache = ObjectCache(client, now)
        self._tokens = TokenCache(client, now)
        self._services = services

    async def config_maps(
        self, namespace: str, names: set[str], not_before: datetime | None
    ) -> dict[str, Object | None]:
        """By name; None where there is none. Raises StatusError."""
        return await self._cache.many("configmaps", namespace, names, not_before=not_before)

    async def secrets(
        self, namespace: str, names: set[str], not_before: datetime | None
    ) -> dict[str, Mapping[str, bytes] | None]:
        """Decoded content by name; None where there is none. Raises StatusError."""
        found = await self._cache.many("secrets", namespace, names, not_before=not_before)
        return {name: secret_content(secret) for name, secret in found.items()}

    async def claimed_volumes(self, pod: Object) -> dict[str, Object]:
        """The PersistentVolumes of the pod's bound claims. Raises VolumeError where one is not bound."""
        result = {}
        for volume in pod["spec"].get("volumes") or []:
            if (source := volume.get("persistentVolumeClaim")) is None:
                continue
            name = source["claimName"]
            claim = await self._cache.get("persistentvolumeclaims", meta.namespace(pod), name)
            bound = ((claim or {}).get("spec") or {}).get("volumeName")
            if claim is None or not bound or (claim.get("status") or {}).get("phase") != "Bound":
                raise VolumeError(f'claim "{name}" is not bound')
            found = await self._cache.get("persistentvolumes", "", bound)
            if found is None:
                raise VolumeError(f'persistent volume "{bound}" of claim "{name}" does not exist')
            result[name] = found
        return result

    async def runtime_handler(self, runtime_class: str) -> str:
        """The runtime handler of a RuntimeClass. Raises ConfigError where there is none."""
        try:
            found = await self._cache.get("runtimeclasses.node.k8s.io", "", runtime_class)
        except errors.StatusError as error:
            raise ConfigError(f'RuntimeClass "{runtime_class}": {error.message}') from error
        if found is None:
            raise ConfigError(f'RuntimeClass "{runtime_class}" not found')
        return str(found["handler"])

    async def token(self, pod: Object, audience: str, seconds: int) -> bytes:
        """A token of the pod's service account. Raises StatusError."""
        return await self._tokens.get(pod, audience, seconds)

    def services(self) -> tuple[Object, ...]:
        """All services."""
        return tuple(self._services)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._tokens.forget(uid)

    def prune(self) -> None:
        """Drop what is too old to be given out."""
        self._cache.prune()
