"""Which wire form an answer takes: media type and, for kubectl's tables and metadata-only clients, `as=`.

Rules: RFC 9110 (Accept), API concepts ("Alternate representations of resources", "Receiving resources as Tables").
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from keelson.api import errors

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

OBJECT, TABLE, PARTIAL = "", "Table", "PartialObjectMetadata"


class Form(NamedTuple):
    """A media type and what the object is shown as ("" for itself)."""

    media_type: str = JSON
    as_kind: str = OBJECT


_CUSTOM = (JSON, YAML)
_SUPPORTED = (JSON, YAML, PROTOBUF)
_AS = {"Table": TABLE, "PartialObjectMetadata": PARTIAL, "PartialObjectMetadataList": PARTIAL}
DEFAULT = Form()


def preferences(accept: str) -> list[tuple[str, dict[str, str], float]]:
    """The (name, parameters, quality) that a header such as Accept or Accept-Encoding lists, the best first.

    Names are in lower case. A quality that is no number counts as 0. Among equals a name goes before a wildcard (RFC
    9110, 12.5.1).
    """
    ranges: list[tuple[str, dict[str, str], float]] = []
    for part in accept.split(","):
        media, *rest = (piece.strip() for piece in part.split(";"))
        parameters: dict[str, str] = {}
        for piece in rest:
            name, _, value = piece.partition("=")
            parameters[name.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        ranges.append((media.lower(), parameters, quality))
    return sorted(ranges, key=lambda each: (-each[2], each[0].startswith("*"), each[0].endswith("/*")))


@lru_cache(maxsize=256)
def negotiate(accept: str, *, custom: bool = False, watch: bool = False, whole: bool = False) -> Form:
    """The first acceptable form in the client's order of preference. Raises StatusError 406.

    Where a client likes JSON and protobuf alike it gets JSON, which costs the server nothing to make. Objects of
    `custom` resources have no protobuf, but their metadata has; a Table is JSON or YAML. With `whole` there is neither:
    what is not stored has no metadata to show.
    """
    if not accept or accept == JSON:
        return DEFAULT
    second: Form | None = None
    least = 0.0
    for media, parameters, quality in preferences(accept):
        if second is not None and quality < least:
            break
        if media in ("*/*", "application/*"):
            media = JSON
        as_kind = parameters.get("as", "")
        if as_kind:
            if whole or as_kind not in _AS or parameters.get("g") != "meta.k8s.io" or parameters.get("v") != "v1":
                continue
            as_kind = _AS[as_kind]
        if not _producible(media, as_kind, custom=custom) or parameters.get("stream", "watch") not in ("", "watch"):
            continue
        if media != PROTOBUF:
            if second is None or (media == JSON and as_kind == second.as_kind):
                return Form(media, as_kind)
        elif second is None:
            second, least = Form(media, as_kind), quality
    if second is not None:
        return second
    offered = _CUSTOM if custom else _SUPPORTED
    raise errors.not_acceptable([f"{media};stream=watch" for media in offered if media != YAML] if watch else offered)


def _producible(media: str, as_kind: str, *, custom: bool) -> bool:
    if media == PROTOBUF:
        return as_kind == PARTIAL or (as_kind == OBJECT and not custom)
    return media in (JSON, YAML)


@lru_cache(maxsize=256)
def names_protobuf_first(accept: str) -> bool:
    """Whether a client likes nothing better than objects in protobuf, and named them first."""
    media, parameters, _ = preferences(accept)[0]
    return media == PROTOBUF and not parameters.get("as")


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip (RFC 9110, 12.5.3)."""
    found = {name: quality for name, _, quality in preferences(accept_encoding)}
    return found.get("gzip", found.get("*", 0.0)) > 0
