"""From a request's body to an object of a known kind, and back to bytes.

JSON is read by orjson. It keeps the last of duplicate fields and tells nobody, so strict reading compares lengths first
(a body without insignificant space and without duplicates is as long as its own re-encoding) and only parses a second
time, with the pairs at hand, where they differ. YAML is the 1.1 dialect of Go's library as far as it matters: no dates,
no base-60 numbers, text keys; aliases may not multiply the document.

Sources: API conventions ("Field validation", KEP-2885), the messages of upstream's strict decoder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from keelson.api import conformance, errors, meta, schemas
from keelson.api.schemas import Schema, Typed

JSON = "application/json"
YAML = "application/yaml"
# Deep enough for every real object (orjson itself stops at 1,024), shallow enough for every recursive walk of ours.
MAX_DEPTH = 200

_YAML_ERRORS = "yaml: unmarshal errors:"


class Decoded(NamedTuple):
    """An object in the shape of its kind, and what `fieldValidation=Warn` has to say about its body."""

    object: meta.Object
    warnings: list[str]


def encode(value: Any) -> bytes:
    """Compact JSON, UTF-8."""
    return orjson.dumps(value)


def _duplicates(body: bytes) -> list[str]:
    """The paths of the fields that occur twice in one JSON object."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result:
                # The object does not know its own path yet; the walk below finds it by this marker.
                result.setdefault(_DUPLICATES, []).append(key)
            result[key] = value
        return result

    return list(_marked(json.loads(body, object_pairs_hook=pairs), ""))


def _marked(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key in dict.fromkeys(value.pop(_DUPLICATES, ())):
            yield f"{path}.{key}" if path else key
        for key, child in value.items():
            yield from _marked(child, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _marked(child, f"{path}[{index}]")


# No JSON text can hold a lone surrogate as UTF-8, so no body has a field of this name.
_DUPLICATES = "\ud800"


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                below.extend(child for child in node.values() if type(child) is dict or type(child) is list)
            elif type(node) is list:
                below.extend(child for child in node if type(child) is dict or type(child) is list)
        level = below
    return True


def _plain_json(body: bytes) -> Any:
    """The value of a YAML body that is JSON just as it would be written here: an object, no key twice, nothing escaped
    that need not be. None for every other body. Appliers send JSON as YAML, and YAML's reader takes 50 times as long.
    """
    if not body.startswith(b"{") or body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if orjson.dumps(value) == body else None


def _complaint(body: bytes, error: json.JSONDecodeError) -> str:
    """What is wrong with a JSON text, as near to Go's words as the parser's findings allow."""
    try:
        rest = body.decode()[error.pos :]
    except UnicodeDecodeError:
        return "invalid UTF-8"
    if not rest:
        return "unexpected end of JSON input"
    if error.msg.startswith("unexpected content"):
        return f"invalid character {rest[0]!r} after top-level value"
    if error.msg.startswith("unexpected character"):
        return f"invalid character {rest[0]!r} looking for beginning of value"
    return str(error)


def parse(body: bytes, media_type: str = JSON, *, duplicates: bool = True) -> tuple[Any, list[str]]:
    """The value of a JSON, YAML or CBOR document and, if asked for, complaints of the fields that occur twice.

    Raises StatusError: 400 for a malformed body, 415 for another media type.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if kind in (YAML, "application/apply-patch+yaml", "text/yaml", "application/x-yaml"):
        if (value := _plain_json(body)) is not None:
            return value, []
        # Clients that send YAML are few: only they pay for its reader.
        from keelson.api.documents import DocumentError, load_yaml

        try:
            value, found = load_yaml(body)
        except DocumentError as error:
            raise errors.bad_request(f"error converting YAML to JSON: yaml: {error}") from error
        # One error of the whole document, as Go's library has it.
        twice = ["\n  ".join([_YAML_ERRORS, *found])] if found and duplicates else []
    elif kind in ("application/cbor", "application/apply-patch+cbor"):
        # Off by default: only servers that speak it pay for its reader.
        from keelson.api import cbor

        try:
            value, twice = cbor.loads(body), []
        except cbor.CborError as error:
            raise errors.bad_request(f"unable to determine group/version/kind: cbor: {error}") from error
    elif kind in ("", JSON) or kind.endswith("+json"):
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise errors.bad_request(
                f"couldn't get version/kind; json parse error: {_complaint(body, error)}"
            ) from error
        # Nothing is nested deeper than its brackets are many.
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _too_deep(value):
            raise errors.bad_request("exceeded max depth")
        suspicious = duplicates and len(orjson.dumps(value)) != len(body)
        twice = [f'duplicate field "{path}"' for path in _duplicates(body)] if suspicious else []
    else:
        raise errors.unsupported_media_type((JSON, YAML))
    return value, twice


def _check_type(obj: meta.Object, typed: Typed, *, custom: bool = False) -> None:
    """Fills in an absent apiVersion and kind, refuses others than the request's: a custom object's kind as invalid."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if api_version == typed.api_version and kind == typed.kind:
        return
    if not api_version:
        obj["apiVersion"] = typed.api_version
    elif api_version != typed.api_version:
        raise errors.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version ({typed.api_version})"
        )
    if not kind:
        obj["kind"] = typed.kind
    elif kind != typed.kind and custom:
        group = typed.api_version.rpartition("/")[0]
        message = f"Invalid value: {orjson.dumps(kind).decode()}: must be {typed.kind}"
        cause = errors.cause("kind", "FieldValueInvalid", message)
        raise errors.invalid(str(kind), meta.name(obj), [cause], group=group)
    elif kind != typed.kind:
        raise errors.bad_request(f"the kind in the data ({kind}) does not match the expected kind ({typed.kind})")


def conform(
    obj: meta.Object,
    typed: Typed,
    *,
    schema: Schema | None = None,
    field_validation: str = "Warn",
    duplicates: list[str] | None = None,
) -> list[str]:
    """Brings a parsed object into the shape of its kind, in place; returns the warnings that the client is due.

    `schema` is a CRD version's structural schema, None for a built-in kind. `field_validation` is "Ignore", "Warn" or
    "Strict", `duplicates` what `parse` complained of. Raises StatusError 400: wrong kind, wrong type, or, if strict,
    unknown or duplicate fields.
    """
    unknown = shape(obj, typed, schema=schema)
    if field_validation == "Ignore" or not (unknown or duplicates):
        return []
    complaints = [*(f'unknown field "{path}"' for path in unknown), *(duplicates or ())]
    if field_validation == "Strict":
        raise errors.bad_request(f"{_cannot_handle(typed)}: strict decoding error: {', '.join(complaints)}")
    return warnings(complaints)


def shape(obj: meta.Object, typed: Typed, *, schema: Schema | None = None) -> list[str]:
    """`conform` without an opinion: the same in-place change; returns the paths of the unknown fields it dropped."""
    _check_type(obj, typed, custom=schema is not None)
    try:
        if schema is not None:
            # A custom resource's own fields are judged by its CRD; its metadata has the types of every object's.
            return conformance.shape_metadata(obj, schemas.object_meta()) + conformance.prune(obj, schema)
        return conformance.conform(obj, schemas.of(typed))
    except conformance.MismatchError as error:
        raise errors.bad_request(f"{_cannot_handle(typed)}: {error}") from error


def warnings(complaints: Iterable[str]) -> list[str]:
    """What a client is warned of by these complaints: of each line of a YAML document by itself."""
    return [
        line.strip() for complaint in complaints for line in complaint.removeprefix(f"{_YAML_ERRORS}\n").splitlines()
    ]


def _cannot_handle(typed: Typed) -> str:
    version = typed.api_version.rpartition("/")[2]
    return f'{typed.kind} in version "{version}" cannot be handled as a {typed.kind}'


def decode(
    body: bytes,
    media_type: str,
    typed: Typed,
    *,
    schema: Schema | None = None,
    field_validation: str = "Warn",
) -> Decoded:
    """The object of a request's body, in the shape of its kind, with `conform`'s warnings.

    Raises StatusError 400 and 415.
    """
    value, duplicates = parse(body, media_type, duplicates=field_validation != "Ignore")
    if not isinstance(value, Mapping):
        kind = "null" if value is None else type(value).__name__
        raise errors.bad_request(f"couldn't get version/kind; json parse error: the body is not an object but {kind}")
    obj: meta.Object = value  # type: ignore[assignment]
    warnings = conform(obj, typed, schema=schema, field_validation=field_validation, duplicates=duplicates)
    return Decoded(obj, warnings)
