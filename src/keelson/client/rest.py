"""Requests to the API server: one typed call a verb; answers other than success are raised as StatusError.

One `Client` keeps a pool of connections. It retries nothing by itself but 429 and 503 answers that carry Retry-After:
whether a write may be repeated is known only to the caller. Beneath it aiohttp sends a GET, PUT or DELETE once more
where a connection that was kept turns out to be closed; so a write may meet itself, as 409 or 404.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.resources import Resource, lookup

from .kubeconfigs import ClientConfig

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

# API concepts, "Metadata-only fetches".
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

# How often an answer that asks for patience (429, 503 with Retry-After) is believed before it is raised.
_RETRIES = 5
_MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class FencedError(Exception):
    """The client may write no more (see `Client.fence`); whoever works with it must end."""


class Client:
    """The API of one cluster. Use as an async context manager.

    `fence`, where set, is called before every mutating request and refuses it by raising FencedError: a leader that
    may have lost its lease writes nothing.
    """

    def __init__(self, config: ClientConfig, *, user_agent: str, timeout: float = 30.0) -> None:
        self._config = config
        self._user_agent = user_agent
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._token_stamp = 0
        self.fence: Callable[[], None] | None = None
        # A token that its owner renews (TokenRequest); it goes before what the configuration states.
        self.token = ""

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._config.server

    async def __aenter__(self) -> Client:
        self._session = self._connect()
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _connect(self) -> aiohttp.ClientSession:
        context: ssl.SSLContext | bool = self._config.context() if self._config.server.startswith("https") else False
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0, ttl_dns_cache=10),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            headers={"User-Agent": self._user_agent},
            auto_decompress=True,
            read_bufsize=2**18,
        )

    async def reload(self, config: ClientConfig | None = None) -> None:
        """Connect anew with fresh credentials, as after a certificate was rotated; open watches end and resume."""
        if config is not None:
            self._config = config
        old, self._session = self._session, self._connect()
        if old is not None:
            await old.close()

    def _bearer(self) -> str:
        if self.token:
            return self.token
        if not self._config.token_file:
            return self._config.token
        path = Path(self._config.token_file)
        stamp = path.stat().st_mtime_ns
        if stamp != self._token_stamp:
            self._token, self._token_stamp = path.read_text(encoding="utf-8").strip(), stamp
        return self._token

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The open answer to a request that succeeded; its body is the caller's to read.

        Raises StatusError for an answer other than 2xx and `unavailable` (503) where no server answered.
        """
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        if self.fence is not None and method in _MUTATING:
            self.fence()
        sent = dict(headers or {})
        if token := self._bearer():
            sent["Authorization"] = f"Bearer {token}"
        if self._config.tls_server_name:
            more: dict[str, Any] = {"server_hostname": self._config.tls_server_name}
        else:
            more = {}
        try:
            async with self._session.request(
                method,
                self._config.server + path,
                params=dict(query or {}),
                data=body,
                headers=sent,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=10),
                **more,
            ) as response:
                if not 200 <= response.status < 300:
                    raise await _status_error(response)
                try:
                    yield response
                finally:
                    _abandon(response)
        except TimeoutError as error:
            raise errors.timeout(
                f"{method} {path}: no answer in {timeout:g} s" if timeout else f"{method} {path}: no answer"
            ) from error
        except aiohttp.ClientError as error:
            raise errors.unavailable(f"{method} {path}: {error or type(error).__name__}") from error

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The whole body of the answer; waits as long as a 429 or 503 answer's Retry-After asks, a few times."""
        attempt = 0
        while True:
            try:
                async with self.stream(
                    method, path, query=query, body=body, headers=headers, timeout=self._timeout
                ) as answer:
                    return await answer.read()
            except errors.StatusError as error:
                wait = error.details.get("retryAfterSeconds")
                if error.code not in {429, 503} or not wait or attempt >= _RETRIES:
                    raise
                attempt += 1
                await asyncio.sleep(float(wait))

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any = None,
        media_type: str = "application/json",
        *,
        accept: str = "application/json",
    ) -> Object:
        headers = {"Accept": accept}
        data = None
        if body is not None:
            headers["Content-Type"] = media_type
            data = orjson.dumps(body)
        answer: Object = orjson.loads(await self.request(method, path, query=query, body=data, headers=headers))
        return answer

    async def get(self, resource: str | Resource, name: str, *, namespace: str = "", subresource: str = "") -> Object:
        """The object; 404 is raised where there is none."""
        return await self._call("GET", _path(resource, namespace, name, subresource), {})

    async def list(
        self,
        resource: str | Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        limit: int = 0,
        continue_: str = "",
        metadata_only: bool = False,
    ) -> Object:
        """One page of the collection as its List object; `items` lack apiVersion and kind as upstream's do.

        `metadata_only` asks for PartialObjectMetadata: metadata and nothing else.
        """
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            limit=str(limit) if limit else "",
            **{"continue": continue_},
        )
        accept = METADATA_LIST if metadata_only else "application/json"
        return await self._call("GET", _path(resource, namespace), query, accept=accept)

    async def create(
        self,
        resource: str | Resource,
        obj: Object,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        field_manager: str = "",
    ) -> Object:
        """The object as created (or, with `name` and `subresource`, what the subresource answers)."""
        where = _path(resource, namespace or meta.namespace(obj), name, subresource)
        return await self._call("POST", where, _query(fieldManager=field_manager), obj)

    async def update(
        self, resource: str | Resource, obj: Object, *, subresource: str = "", field_manager: str = ""
    ) -> Object:
        """Replace the object; 409 where its resourceVersion is no longer the stored one."""
        where = _path(resource, meta.namespace(obj), meta.name(obj), subresource)
        return await self._call("PUT", where, _query(fieldManager=field_manager), obj)

    async def update_status(self, resource: str | Resource, obj: Object) -> Object:
        """`update` of the status subresource."""
        return await self.update(resource, obj, subresource="status")

    async def patch(
        self,
        resource: str | Resource,
        name: str,
        patch: Any,
        *,
        namespace: str = "",
        subresource: str = "",
        kind: str = MERGE_PATCH,
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        """Patch the object; `kind` is the patch's media type, one of this module's constants."""
        query = _query(fieldManager=field_manager, force="true" if force else "")
        return await self._call("PATCH", _path(resource, namespace, name, subresource), query, patch, kind)

    async def apply(
        self, resource: str | Resource, obj: Object, *, field_manager: str, force: bool = False, subresource: str = ""
    ) -> Object:
        """Server-side apply (KEP-555) of the object's stated fields."""
        return await self.patch(
            resource,
            meta.name(obj),
            obj,
            namespace=meta.namespace(obj),
            subresource=subresource,
            kind=APPLY_PATCH,
            field_manager=field_manager,
            force=force,
        )

    async def delete(
        self,
        resource: str | Resource,
        name: str,
        *,
        namespace: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
        uid: str = "",
        resource_version: str = "",
    ) -> Object:
        """Delete the object, if it still is the one of `uid` and `resource_version` where they are given (else 409)."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy:
            options["propagationPolicy"] = propagation_policy
        if preconditions := _query(uid=uid, resourceVersion=resource_version):
            options["preconditions"] = preconditions
        return await self._call("DELETE", _path(resource, namespace, name), {}, options)

    async def delete_collection(
        self,
        resource: str | Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: str = "",
    ) -> Object:
        """Delete every object of the collection that the selectors choose."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector, propagationPolicy=propagation_policy)
        return await self._call("DELETE", _path(resource, namespace), query)

    async def evict(self, namespace: str, name: str, *, uid: str = "") -> None:
        """Evict a pod (policy/v1 Eviction); 429 while a disruption budget forbids it."""
        body: Object = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        if uid:
            body["deleteOptions"] = {"preconditions": {"uid": uid}}
        await self.create("pods", body, name=name, subresource="eviction")


def _path(resource: str | Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    found = lookup(resource) if isinstance(resource, str) else resource
    return found.path(namespace or None, name or None, subresource or None)


def _query(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


# What an answer without a Status means by its code alone, as client-go has it.
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Gone",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def _abandon(response: aiohttp.ClientResponse) -> None:
    """Cut the connection of an answer that was not read to its end: nobody would wait for the farewells of TLS."""
    # An answer that was read whole has given its connection back.
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


async def _status_error(response: aiohttp.ClientResponse) -> errors.StatusError:
    body = await response.read()
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        found = errors.StatusError.from_status(status, response.status)
    else:
        text = body[:200].decode(errors="replace").strip()
        found = errors.StatusError(
            response.status, _REASONS.get(response.status, ""), text or response.reason or "unknown"
        )
    if (wait := response.headers.get("Retry-After", "")).isdecimal():
        found.details.setdefault("retryAfterSeconds", int(wait))
    return found
