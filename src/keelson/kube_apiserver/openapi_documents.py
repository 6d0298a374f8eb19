"""OpenAPI as it is served: made in a thread when first asked for, kept compressed until the catalogue changes.

`/openapi/v3` is an index whose entries carry a digest, so that clients may keep a document for ever (KEP-2896);
`/openapi/v2` is everything in one Swagger document, in JSON or in the protobuf that kubectl wants of it.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from keelson.api import errors
from keelson.api.resources import Resource
from keelson.kube_apiserver import versions
from keelson.kube_apiserver.aggregation.openapis import OpenApis
from keelson.kube_apiserver.encodings import swagger
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.negotiation import preferences, takes_gzip
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_JSON = "application/json"
_ANY = {"*/*": _JSON, "application/*": _JSON, _JSON: _JSON}
# What a client asks for to what it gets.
_FORMS = {**_ANY, swagger.MEDIA_TYPE: swagger.MEDIA_TYPE, swagger.DEPRECATED_MEDIA_TYPE: swagger.MEDIA_TYPE}
_LEVEL = 5
_RELEASE = f"{versions.MAJOR}.{versions.MINOR}"
# What of a Swagger document is made in pieces, and how many custom resources a piece is of.
_PARTS = ("paths", "definitions")
_STEP = 10


class _Content(NamedTuple):
    """What a document is made of, as it was at one moment of the catalogue."""

    resources: list[Resource]
    # By (group, version, kind): the structural schema and the kind of lists.
    customs: dict[tuple[str, str, str], tuple[bytes, str]]
    # Of aggregated servers: entries of the index of v3, and parts of the document of v2.
    entries: Mapping[str, Mapping[str, str]]
    parts: Sequence[Mapping[str, Any]]


def _media_type(accept: str, path: str) -> str:
    """The form of the answer. Raises StatusError 406."""
    forms = _FORMS if path == "v2" else _ANY
    for media, _, quality in preferences(accept):
        if quality > 0 and media in forms:
            return forms[media]
    raise errors.not_acceptable(sorted(set(forms.values())))


def _has(if_none_match: str, etag: str) -> bool:
    """Whether a client has this version already (RFC 9110, If-None-Match, compared weakly)."""
    return any(each.strip().removeprefix("W/") in (etag, "*") for each in if_none_match.split(","))


class OpenApi:
    """The handler of /openapi/…."""

    def __init__(self, catalogue: Catalogue, others: OpenApis) -> None:
        self._catalogue = catalogue
        self._others = others
        self._generation = (-1, -1)
        self._kept: dict[tuple[str, str], tuple[bytes, str]] = {}
        self._making: dict[str, asyncio.Lock] = {}
        # By path and media type: what is being made, for all who wait for it.
        self._tasks: dict[tuple[str, str], asyncio.Task[tuple[bytes, str] | None]] = {}

    async def handle(self, request: Request, info: RequestInfo, _user: User) -> Response:
        """The index or a document. Raises StatusError 404, 405, 406."""
        if info.verb not in ("get", "head"):
            raise errors.method_not_allowed(info.verb, info.path)
        path = info.path.removeprefix("/openapi/").rstrip("/")
        media_type = _media_type(request.headers.get("accept") or "*/*", path)
        packed, etag = await self._document(path, media_type)
        headers = [("ETag", etag), ("Vary", "Accept, Accept-Encoding")]
        wanted_digest = request.parameter("hash")
        if wanted_digest:
            headers.append(("Cache-Control", "public, immutable"))
        if _has(request.headers.get("if-none-match", ""), etag):
            return Response(304, b"", media_type, headers)
        if takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(200, packed, media_type, [*headers, ("Content-Encoding", "gzip")])
        return Response(200, await asyncio.to_thread(gzip.decompress, packed), media_type, headers)

    async def _document(self, path: str, media_type: str) -> tuple[bytes, str]:
        """A document, compressed, and its ETag. Raises StatusError 404."""
        parts = await self._others.swaggers() if path == "v2" else []
        if path.startswith("v3/") and self._others.has(path.removeprefix("v3/")):
            found = await self._others.document(path.removeprefix("v3/"))
            if found is None:
                raise errors.unavailable("the aggregated server's document can't be fetched now")
            return found
        task = self._tasks.get((path, media_type))
        if task is None:
            task = self._tasks[path, media_type] = asyncio.create_task(self._make(path, media_type, parts))
            task.add_done_callback(lambda _done: self._tasks.pop((path, media_type), None))
        # Who leaves does not take the document away from those who come after.
        found = await asyncio.shield(task)
        if found is None:
            raise errors.path_not_found()
        return found

    async def _make(self, path: str, media_type: str, parts: Sequence[Mapping[str, Any]]) -> tuple[bytes, str] | None:
        # One lock for all forms: two of them at once would need the memory of both.
        lock = self._making.setdefault(path, asyncio.Lock())
        async with lock:
            generation = self._now()
            if self._generation != generation:
                self._kept.clear()
                self._generation = generation
            kept = self._kept.get((path, media_type))
            if kept is not None:
                return kept
            content = self._content(parts)
            if path == "v2":
                made: tuple[bytes, str] | None = await _swagger(media_type, content)
            else:
                made = await asyncio.to_thread(_packed, path, content)
            if made is None:
                self._making.pop(path, None)
            elif generation == self._now():
                self._kept[path, media_type] = made
            return made

    def _now(self) -> tuple[int, int]:
        return self._catalogue.generation, self._others.generation

    def _content(self, parts: Sequence[Mapping[str, Any]]) -> _Content:
        """Taken here and not in the thread, since the catalogue may change meanwhile."""
        customs = {
            (served.resource.group, served.resource.version, served.resource.kind): (
                served.extras["openAPIV3Schema"],
                served.list_kind,
            )
            for served in self._catalogue
            if served.custom
        }
        return _Content(list(self._catalogue.resources()), customs, self._others.entries(), parts)


async def _swagger(media_type: str, content: _Content) -> tuple[bytes, str]:
    """The document of everything, compressed, and its ETag.

    It is made piece by piece: with hundreds of CRDs it takes seconds, in which the process may have to end, and nobody
    has the memory for all of it as values.
    """
    from keelson.api import openapi

    custom = [each for each in content.resources if (each.group, each.version, each.kind) in content.customs]
    base = await asyncio.to_thread(_swagger_base, media_type, content)
    pieces = {field: [found] for field, found in base.items()}
    common = await asyncio.to_thread(openapi.components.common_properties, v3=False) if custom else {}
    for first in range(0, len(custom), _STEP):
        some = custom[first : first + _STEP]
        keys = [(each.group, each.version, each.kind) for each in some]
        customs = {key: openapi.Custom(*content.customs[key]) for key in keys}
        made = await asyncio.to_thread(_swagger_pieces, media_type, some, customs, common)
        for field, found in made.items():
            pieces[field].append(found)
    return await asyncio.to_thread(_swagger_packed, media_type, pieces)


def _swagger_base(media_type: str, content: _Content) -> dict[str, bytes]:
    """The pieces of `paths` and `definitions` of what is no CRD's."""
    from keelson.api import openapi

    built_in = [each for each in content.resources if (each.group, each.version, each.kind) not in content.customs]
    document = openapi.swagger(built_in, release=_RELEASE, custom_kinds=bool(content.customs))
    for part in content.parts:
        openapi.merge(document, part)
    return {field: _piece(media_type, field, document[field]) for field in _PARTS}


def _swagger_pieces(
    media_type: str, some: Sequence[Resource], customs: Mapping[Any, Any], common: Mapping[str, Any]
) -> dict[str, bytes]:
    from keelson.api import openapi

    made = openapi.swagger_of(some, customs, common)
    return {field: _piece(media_type, field, made[field]) for field in _PARTS}


def _piece(media_type: str, field: str, value: Mapping[str, Any]) -> bytes:
    # In JSON the members of an object, without its braces.
    return swagger.part(field, value) if media_type == swagger.MEDIA_TYPE else orjson.dumps(value)[1:-1]


def _swagger_packed(media_type: str, pieces: Mapping[str, Sequence[bytes]]) -> tuple[bytes, str]:
    from keelson.api import openapi

    rest = openapi.swagger((), release=_RELEASE)
    for field in _PARTS:
        del rest[field]
    body = swagger.joined(rest, pieces) if media_type == swagger.MEDIA_TYPE else _json_joined(rest, pieces)
    packer, digest = zlib.compressobj(_LEVEL, wbits=zlib.MAX_WBITS | 16), hashlib.sha512()
    packed = []
    for each in body:
        digest.update(each)
        packed.append(packer.compress(each))
    return b"".join([*packed, packer.flush()]), f'"{digest.hexdigest().upper()}"'


def _json_joined(rest: Mapping[str, Any], pieces: Mapping[str, Sequence[bytes]]) -> Iterator[bytes]:
    yield orjson.dumps(rest)[:-1]
    for field, found in pieces.items():
        yield b',"%b":{' % field.encode()
        for index, each in enumerate(filter(None, found)):
            yield b"," + each if index else each
        yield b"}"
    yield b"}"


def _packed(path: str, content: _Content) -> tuple[bytes, str] | None:
    body = _made(path, content)
    if body is None:
        return None
    return gzip.compress(body, _LEVEL, mtime=0), f'"{hashlib.sha512(body).hexdigest().upper()}"'


def _made(path: str, content: _Content) -> bytes | None:
    # The generator of documents is needed only by those who ask for one.
    from keelson.api import openapi

    resources = content.resources
    customs = {key: openapi.Custom(*custom) for key, custom in content.customs.items()}
    if path == "v3":
        index = openapi.index_v3(resources, customs)
        return orjson.dumps({"paths": dict(sorted({**index["paths"], **content.entries}.items()))})
    parts = path.split("/")
    if parts[:2] == ["v3", "api"] and len(parts) == 3:
        return openapi.document_v3(resources, "", parts[2], release=_RELEASE, customs=customs)
    if parts[:2] == ["v3", "apis"] and len(parts) == 4:
        return openapi.document_v3(resources, parts[2], parts[3], release=_RELEASE, customs=customs)
    return openapi.place_v3(resources, path.removeprefix("v3/"), release=_RELEASE, customs=customs)
