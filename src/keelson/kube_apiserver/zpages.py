"""/statusz and /flagz: what runs here, since when, and with which flags (KEP-4827, KEP-4828).

People get text; programs ask for a kind of config.k8s.io in their Accept header, as text may change at any time.
"""

from __future__ import annotations

import argparse
import html
import platform
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.component_base import durations
from keelson.kube_apiserver.encodings.answers import to_yaml
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from . import versions

NAME = "kube-apiserver"
_GROUP = "config.k8s.io"
_VERSIONS = ("v1beta1", "v1alpha1")
_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only."
)
_NOT_FOR_DEBUGGING = frozenset({"/", "/api", "/apis", "/openid", "/openapi", "/.well-known"})
_TEXT = "text/plain; charset=utf-8"
_STRUCTURED = ("application/json", "application/yaml")


def _asked(accept: str, kind: str) -> tuple[str, str]:
    """(media type, version) that an Accept header asks for; the version is "" for text. Raises StatusError 406."""
    if not accept.strip():
        return "text/plain", ""
    for part in accept.split(","):
        media_type, *rest = (piece.strip() for piece in part.split(";"))
        parameters = dict(piece.partition("=")[::2] for piece in rest)
        if media_type in ("text/plain", "text/*", "*/*") and "as" not in parameters:
            return "text/plain", ""
        if (
            media_type in _STRUCTURED
            and (parameters.get("as"), parameters.get("g")) == (kind, _GROUP)
            and parameters.get("v") in _VERSIONS
        ):
            return media_type, parameters["v"]
    offered = ", ".join(("text/plain", *_STRUCTURED))
    message = f"only the following media types are accepted: {offered} (with as={kind};v={_VERSIONS[0]};g={_GROUP})"
    raise errors.StatusError(406, "NotAcceptable", message)


def _structured(kind: str, media_type: str, version: str, fields: Object) -> Response:
    document = {"kind": kind, "apiVersion": f"{_GROUP}/{version}", "metadata": {"name": NAME}, **fields}
    body = orjson.dumps(document) if media_type == "application/json" else to_yaml(document)
    headers: list[tuple[str, str]] = []
    if version != _VERSIONS[0]:
        told = f"This version of the {kind.lower()} endpoint is deprecated. Please use a newer version."
        headers.append(("Warning", f'299 - "{told}"'))
    return Response(200, body, media_type, headers)


class Pages:
    """The two pages; `paths` gives what else the server answers."""

    def __init__(self, options: argparse.Namespace, paths: Callable[[], Iterable[str]]) -> None:
        self._options = options
        self._paths = paths
        self._started = time.time()

    async def statusz(self, request: Request, info: RequestInfo, _user: User) -> Response:
        """The page of the process."""
        media_type, version = self._accepted(request, info, "Statusz")
        up = max(0, int(time.time() - self._started))
        started = datetime.fromtimestamp(self._started, UTC)
        folders = {"/" + path.split("/")[1] for path in self._paths()} - _NOT_FOR_DEBUGGING
        runtime, binary = f"python{platform.python_version()}", versions.info()["gitVersion"].removeprefix("v")
        if version:
            fields: Object = {
                "startTime": meta.format_time(started),
                "uptimeSeconds": up,
                "goVersion": runtime,
                "binaryVersion": binary,
                "emulationVersion": f"{versions.MAJOR}.{versions.MINOR}",
                "paths": sorted(folders),
            }
            return _structured("Statusz", media_type, version, fields)
        lines = (
            "",
            f"{NAME} statusz",
            _WARNING,
            "",
            f"Started: {started:%a %b %e %H:%M:%S UTC %Y}",
            f"Up: {up // 3600} hr {up // 60 % 60:02} min {up % 60:02} sec",
            f"Go version: {runtime}",
            f"Binary version: {binary}",
            f"Emulation version: {versions.MAJOR}.{versions.MINOR}",
            f"Paths: {html.escape(' '.join(sorted(folders)))}",
            "",
        )
        return Response(200, "\n".join(lines).encode(), _TEXT)

    async def flagz(self, request: Request, info: RequestInfo, _user: User) -> Response:
        """The page of the flags, each with the value that is in force."""
        media_type, version = self._accepted(request, info, "Flagz")
        flags = {
            name.replace("_", "-"): _shown(value)
            for name, value in sorted(vars(self._options).items())
            if not name.startswith("_")
        }
        if version:
            return _structured("Flagz", media_type, version, {"flags": flags})
        lines = ["", f"{NAME} flagz", _WARNING, *(f"{name}={value}" for name, value in flags.items()), ""]
        return Response(200, "\n".join(lines).encode(), _TEXT)

    def _accepted(self, request: Request, info: RequestInfo, kind: str) -> tuple[str, str]:
        if info.verb not in ("get", "head"):
            raise errors.method_not_allowed(info.verb, info.path)
        return _asked(request.headers.get("accept", ""), kind)


def _shown(value: object) -> str:
    """A flag's value as it could be given."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return durations.format(value)
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, dict):
        return ",".join(f"{key}={each}" for key, each in sorted(value.items()))
    return "" if value is None else str(value)
