"""Which wire form an answer takes: media type, for kubectl's tables and metadata-only clients `as=`, and whether a
person is to read it.

Rules: RFC 9110 (Accept), API concepts ("Alternate representations of resources", "Receiving resources as Tables").
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from keelson.api import errors

from .messages import Request

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
CBOR = "application/cbor"

OBJECT, TABLE, PARTIAL, PARTIAL_LIST = "", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"


class Form(NamedTuple):
    """A media type and what the object is shown as ("" for itself), in which version of meta.k8s.io.

    `pretty` is for people: JSON with line breaks and indentation.
    """

    media_type: str = JSON
    as_kind: str = OBJECT
    version: str = "v1"
    pretty: bool = False


DEFAULT = Form()
_AS = frozenset({TABLE, PARTIAL, PARTIAL_LIST})
_VERSIONS = ("v1", "v1beta1")
# Programs that people use, by what their User-Agent begins with.
_PEOPLE = ("curl", "Wget", "Mozilla/5.0")
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})


class _Offer:
    """What this server can make: CBOR where its feature gate is on (KEP-4222)."""

    built_in: tuple[str, ...] = (JSON, YAML, PROTOBUF)
    custom: tuple[str, ...] = (JSON, YAML)


def offer_cbor() -> None:
    """Make answers in CBOR from now on, for the whole process."""
    _Offer.built_in, _Offer.custom = (JSON, YAML, PROTOBUF, CBOR), (JSON, YAML, CBOR)
    negotiate.cache_clear()


def offers_cbor() -> bool:
    """Whether CBOR is spoken."""
    return CBOR in _Offer.custom


def accepted_bodies(*, custom: bool = False) -> tuple[str, ...]:
    """The media types that an object may come in."""
    return _Offer.custom if custom else _Offer.built_in


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
def negotiate(accept: str, *, custom: bool = False, streams: bool = False, whole: bool = False) -> Form:
    """The first acceptable form in the client's order of preference. Raises StatusError 406.

    Where a client likes JSON and protobuf alike it gets JSON, which costs the server nothing to make. Objects of
    `custom` resources have no protobuf, but their metadata has; a Table is JSON or YAML. With `whole` there is neither:
    what is not stored has no metadata to show. With `streams` the path may be watched, which a refusal tells.
    """
    if not accept or accept == JSON:
        return DEFAULT
    offered = _Offer.custom if custom else _Offer.built_in
    second: Form | None = None
    least = 0.0
    named = False
    for media, parameters, quality in preferences(accept):
        if second is not None and quality < least:
            break
        if media in ("*/*", "application/*", "*"):
            media = JSON
        named = named or media in _Offer.built_in
        as_kind, version = parameters.get("as", ""), "v1"
        if as_kind:
            version = parameters.get("v", "")
            if whole or as_kind not in _AS or parameters.get("g") != "meta.k8s.io" or version not in _VERSIONS:
                continue
        if parameters.get("sv") or parameters.get("stream", "watch") not in ("", "watch"):
            continue
        if not _producible(media, as_kind, offered):
            continue
        form = Form(media, as_kind, version, media == JSON and parameters.get("pretty") == "1")
        if media != PROTOBUF:
            if second is None or (media == JSON and as_kind == second.as_kind):
                return form
        elif second is None:
            second, least = form, quality
    if second is not None:
        return second
    if named or custom:
        raise errors.not_acceptable(_Offer.built_in)
    watched = [_stream(media) for media in offered if media != YAML] if streams else []
    raise errors.not_acceptable_at_all([*offered, *watched])


def streamed(form: Form) -> Form:
    """The form, if events can be told in it. Raises StatusError 406: documents of YAML have no end of their own."""
    if form.media_type == YAML:
        raise errors.not_acceptable([_stream(media) for media in _Offer.built_in if media != YAML])
    return form


def _stream(media: str) -> str:
    return "application/cbor-seq" if media == CBOR else f"{media};stream=watch"


def _producible(media: str, as_kind: str, offered: tuple[str, ...]) -> bool:
    if as_kind == TABLE:
        return media in (JSON, YAML)
    return media in (_Offer.built_in if as_kind else offered)


def wants_pretty(request: Request) -> bool:
    """Whether JSON is for a person to read: `?pretty=`, else what the client calls itself."""
    if "pretty" in request.query_string and (asked := request.parameter("pretty")):
        return asked in _TRUE
    return request.headers.get("user-agent", "").startswith(_PEOPLE)


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
