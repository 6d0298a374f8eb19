"""Objects in the versions of those who own their fields, for as long as it takes to find out who owns what.

Who owns what is computed by pure functions, which can't wait for a webhook. So they are given what was converted
before; where they miss something, it is converted and they begin anew. An object whose owners all speak of the
request's version, as nearly all do, is converted by nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import orjson

from keelson.api.meta import Object
from keelson.api.patches.managed_fields import Versions
from keelson.api.schemas import Schema

T = TypeVar("T")
# Brings one object, the callee's own, to an API version; StatusError where that fails.
Convert = Callable[[Object, str], Awaitable[Object]]


class _MissingError(Exception):
    """An object in a version that is not there yet."""

    def __init__(self, key: tuple[bytes, str]) -> None:
        super().__init__()
        self.key = key


class OwnedVersions:
    """The versions of one CRD."""

    def __init__(self, schemas: Mapping[str, Schema], convert: Convert) -> None:
        self._schemas = schemas
        self._convert = convert

    async def settle(self, compute: Callable[[Versions], T]) -> T:
        """What `compute` makes of the versions; it is asked anew after each conversion that it misses."""
        known: dict[tuple[bytes, str], Object] = {}

        def convert(obj: Mapping[str, Any], api_version: str) -> Mapping[str, Any]:
            if obj.get("apiVersion") == api_version:
                return obj
            key = (orjson.dumps(obj), api_version)
            found = known.get(key)
            if found is None:
                raise _MissingError(key)
            return found

        versions = Versions(self._schemas, convert)
        while True:
            try:
                return compute(versions)
            except _MissingError as missing:
                body, api_version = missing.key
                known[missing.key] = await self._convert(orjson.loads(body), api_version)
