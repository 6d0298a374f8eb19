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


_SUPPORTED = (JSON, YAML)
_AS = {"Table": TABLE, "PartialObjectMetadata": PARTIAL, "PartialObjectMetadataList": PARTIAL}
DEFAULT = Form()


def preferences(accept: str) -> list[tuple[str, dict[str, str], float]]:
    """The (name, parameters, quality) that a header such as Accept or Accept-Encoding lists, the best first.

    Names are in lower case. A quality that is no number counts as 0.
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
    return sorted(ranges, key=lambda each: -each[2])


@lru_cache(maxsize=256)
def negotiate(accept: str) -> Form:
    """The first acceptable form in the client's order of preference. Raises StatusError 406."""
    if not accept or accept == JSON:
        return DEFAULT
    for media, parameters, _ in preferences(accept):
        if media in ("*/*", "application/*"):
            media = JSON
        if media not in _SUPPORTED:
            continue
        as_kind = parameters.get("as", "")
        if not as_kind:
            return Form(media)
        if as_kind in _AS and parameters.get("g") == "meta.k8s.io" and parameters.get("v") == "v1":
            return Form(media, _AS[as_kind])
    raise errors.not_acceptable(_SUPPORTED)
