"""Brings a parsed value into the shape of its kind: unknown fields out, nulls out, scalars of the right type.

Two roads to one result. The fast one is a tree of closures, compiled once per schema node, that knows no paths and
gives up at the first thing out of the ordinary. The slow one then walks the value with its path at hand, decides what
a null means here, collects unknown fields and words the error. Most requests never meet the slow one, and so pay
nothing for its exactness. What Go's decoder would do to the same bytes is the rule for both.

Custom resources take `prune` instead: for them a wrong type is the validator's business, and only unknown fields go
(apiextensions.k8s.io/v1, "Field pruning").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from keelson.api import scalars
from keelson.api.schemas import MISSING, Schema

Step = Callable[[Any], Any]


class _OutOfOrdinaryError(Exception):
    """The fast road ends here; the slow one starts afresh."""


class MismatchError(Exception):
    """A value of the wrong JSON type, or text that its type refuses. The message is the one after "…: "."""


# -- the fast road ----------------------------------------------------------------------------------------------------


def _anything(value: Any) -> Any:
    return value


def _int32(value: Any) -> Any:
    if type(value) is not int or not -scalars.INT32_MAX - 1 <= value <= scalars.INT32_MAX:
        raise _OutOfOrdinaryError
    return value


def _int64(value: Any) -> Any:
    if type(value) is not int or not -scalars.INT64_MAX - 1 <= value <= scalars.INT64_MAX:
        raise _OutOfOrdinaryError
    return value


def _number(value: Any) -> Any:
    if type(value) is not float and type(value) is not int:
        raise _OutOfOrdinaryError
    return value


def _int_or_string(value: Any) -> Any:
    return value if type(value) is str else _int32(value)


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise _OutOfOrdinaryError
    return value


def _boolean(value: Any) -> Any:
    if type(value) is not bool:
        raise _OutOfOrdinaryError
    return value


def _read_by(read: Callable[[str], str]) -> Step:
    def step(value: Any) -> Any:
        if type(value) is not str:
            raise _OutOfOrdinaryError
        return read(value)

    return step


_FORMATS: dict[str, Step] = {
    "quantity": scalars.quantity,
    "int-or-string": _int_or_string,
    "date-time": _read_by(scalars.time),
    "micro-time": _read_by(scalars.micro_time),
    "byte": _read_by(scalars.base64),
    "int32": _int32,
    "int64": _int64,
    "double": _number,
}
_TYPES: dict[str, Step] = {"string": _text, "boolean": _boolean, "integer": _int64, "number": _number, "": _anything}


def _compiled(schema: Schema) -> Step:
    """The closure of a node; made at first use."""
    if schema.compiled is None:
        if schema.preserve_unknown:
            schema.compiled = _anything
        elif schema.type == "object":
            _compile_map(schema) if schema.additional_properties else _compile_object(schema)
        elif schema.type == "array":
            _compile_list(schema)
        else:
            schema.compiled = _FORMATS.get(schema.format) or _TYPES[schema.type]
    assert schema.compiled is not None
    return schema.compiled


def _compile_object(schema: Schema) -> None:
    # A field's entry is the bare type where that is all there is to check: most fields are text, and to compare a type
    # is a third of the price of a call.
    fields: dict[str, Any] = {}

    def step(value: Any) -> Any:
        if type(value) is not dict:
            raise _OutOfOrdinaryError
        nulls: list[str] | None = None
        for key, child in value.items():
            check = fields.get(key)
            if type(child) is check:
                continue
            if child is None and check is not None:
                nulls = [*(nulls or ()), key]
            elif check is None or check is str or check is bool:
                raise _OutOfOrdinaryError
            else:
                fresh = check(child)
                if fresh is not child:
                    value[key] = fresh
        if nulls is not None:
            for key in nulls:
                del value[key]
        return value

    # Before the children: a schema may hold itself (JSONSchemaProps).
    schema.compiled = step
    for key, child in schema.properties.items():
        check = _compiled(child)
        fields[key] = str if check is _text else bool if check is _boolean else check


def _compile_map(schema: Schema) -> None:
    assert schema.additional_properties is not None
    check = _compiled(schema.additional_properties)
    if check is _text:

        def text_step(value: Any) -> Any:
            if type(value) is not dict:
                raise _OutOfOrdinaryError
            for child in value.values():
                if type(child) is not str:
                    raise _OutOfOrdinaryError
            return value

        schema.compiled = text_step
        return

    def step(value: Any) -> Any:
        if type(value) is not dict:
            raise _OutOfOrdinaryError
        for key, child in value.items():
            if child is None:
                raise _OutOfOrdinaryError
            value[key] = check(child)
        return value

    schema.compiled = step


def _text_list(value: Any) -> Any:
    if type(value) is not list:
        raise _OutOfOrdinaryError
    for child in value:
        if type(child) is not str:
            raise _OutOfOrdinaryError
    return value


def _compile_list(schema: Schema) -> None:
    check: Step = _anything

    def step(value: Any) -> Any:
        if type(value) is not list:
            raise _OutOfOrdinaryError
        for index, child in enumerate(value):
            if child is None:
                raise _OutOfOrdinaryError
            fresh = check(child)
            if fresh is not child:
                value[index] = fresh
        return value

    # Before the items: see `_compile_object`.
    schema.compiled = step
    if schema.items is not None:
        check = _compiled(schema.items)
        if check is _text:
            schema.compiled = _text_list


# -- the slow road ----------------------------------------------------------------------------------------------------


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
    return "null"


def _go_type(schema: Schema) -> str:
    if schema.format in ("int32", "int64"):
        return schema.format
    match schema.type:
        case "object":
            if schema.additional_properties is not None:
                return f"map[string]{_go_type(schema.additional_properties)}"
            return f"v1.{schema.name}" if schema.name else "map[string]interface {}"
        case "array":
            return f"[]{_go_type(schema.items)}" if schema.items is not None else "[]interface {}"
        case "integer":
            return "int64"
        case "number":
            return "float64"
        case "boolean":
            return "bool"
    return "string"


_ZEROS: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False}


class _Walk:
    """One pass of the slow road; `unknown` are the paths of the fields that it dropped."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def _mismatch(self, value: Any, schema: Schema, owner: str, path: str) -> MismatchError:
        kind = _json_type(value)
        if kind == "number" and _go_type(schema) in ("int32", "int64"):
            kind = f"number {value}"
        plain = ".".join(part.partition("[")[0] for part in path.split("."))
        where = f"Go struct field {owner}.{plain}" if plain else "Go value"
        return MismatchError(f"json: cannot unmarshal {kind} into {where} of type {_go_type(schema)}")

    def visit(self, value: Any, schema: Schema, owner: str, path: str) -> Any:
        """The value in its shape; `owner` is the innermost struct's name, `path` the way to the value."""
        if schema.preserve_unknown:
            return value
        if schema.type == "object":
            if type(value) is not dict:
                raise self._mismatch(value, schema, owner, path)
            return (
                self._map(value, schema, owner, path)
                if schema.additional_properties
                else self._object(value, schema, path)
            )
        if schema.type == "array":
            if type(value) is not list:
                raise self._mismatch(value, schema, owner, path)
            return [self._element(child, schema.items, owner, f"{path}[{index}]") for index, child in enumerate(value)]
        try:
            return _compiled(schema)(value)
        except (_OutOfOrdinaryError, TypeError):
            raise self._mismatch(value, schema, owner, path) from None
        except scalars.ScalarError as error:
            raise MismatchError(str(error)) from error

    def _object(self, value: dict[str, Any], schema: Schema, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, child in value.items():
            node = schema.properties.get(key)
            where = f"{path}.{key}" if path else key
            if node is None:
                self.unknown.append(where)
            elif child is not None:
                result[key] = self.visit(child, node, schema.name, where)
        return result

    def _map(self, value: dict[str, Any], schema: Schema, owner: str, path: str) -> dict[str, Any]:
        return {
            key: self._element(child, schema.additional_properties, owner, f"{path}.{key}")
            for key, child in value.items()
        }

    def _element(self, value: Any, schema: Schema | None, owner: str, path: str) -> Any:
        """An item of a list or map: where Go has no pointer, null is the type's zero."""
        if schema is None:
            return value
        if value is None and not schema.preserve_unknown:
            if schema.format == "quantity":
                return "0"
            if schema.format == "int-or-string":
                return 0
            if schema.type == "object":
                return {}
            return _ZEROS.get(schema.type)
        return self.visit(value, schema, owner, path)


def conform(value: dict[str, Any], schema: Schema) -> list[str]:
    """Brings the value into the shape of a built-in schema, in place; returns the paths of the unknown fields dropped.

    Raises MismatchError where a value has the wrong type.
    """
    try:
        _compiled(schema)(value)
    except (_OutOfOrdinaryError, TypeError, scalars.ScalarError):
        walk = _Walk()
        fresh = walk.visit(value, schema, schema.name, "")
        value.clear()
        value.update(fresh)
        return walk.unknown
    return []


# -- custom resources -------------------------------------------------------------------------------------------------


def prune(
    value: Any, schema: Schema, path: str = "", *, salvage: bool = False, quiet_metadata: bool = False
) -> list[str]:
    """Drops, in place, what a structural schema does not name; returns the paths of what was dropped.

    Nulls go too where the field is not nullable, unless a default is to take their place. The metadata of embedded
    resources takes the shape of every object's; where it has wrong types a MismatchError says so, or, with `salvage`,
    as for what comes out of the store, the fields that have them go. `quiet_metadata` leaves out what it drops of it.
    """
    unknown: list[str] = []
    _Pruning(unknown, [] if quiet_metadata else unknown, salvage=salvage).visit(value, schema, path)
    return unknown


def shape_metadata(obj: dict[str, Any], schema: Schema, path: str = "", *, salvage: bool = False) -> list[str]:
    """Brings an object's metadata into the shape of `schema`, ObjectMeta, in place; returns the unknown fields' paths.

    Raises MismatchError; with `salvage`, what has a wrong type goes instead.
    """
    metadata = obj.get("metadata")
    if metadata is None:
        obj.pop("metadata", None)
        return []
    where = f"{path}.metadata" if path else "metadata"
    if not isinstance(metadata, dict):
        if salvage:
            del obj["metadata"]
            return []
        raise MismatchError(f"json: cannot unmarshal {_json_type(metadata)} into Go value of type v1.ObjectMeta")
    try:
        return [f"{where}.{each}" for each in conform(metadata, schema)]
    except MismatchError:
        if not salvage:
            raise
    for key in list(metadata):
        single = {key: metadata.pop(key)}
        try:
            conform(single, schema)
        except MismatchError:
            continue
        metadata.update(single)
    return []


class _Pruning:
    """One walk; `unknown` collects the paths of what it dropped, `of_metadata` those within embedded metadata."""

    def __init__(self, unknown: list[str], of_metadata: list[str], *, salvage: bool) -> None:
        self._unknown = unknown
        self._of_metadata = of_metadata
        self._salvage = salvage

    def visit(self, value: Any, schema: Schema, path: str) -> None:
        if isinstance(value, list):
            if schema.items is not None:
                for index, child in enumerate(value):
                    self.visit(child, schema.items, f"{path}[{index}]")
            return
        if not isinstance(value, dict):
            return
        if schema.name and not schema.additional_properties and not schema.preserve_unknown:
            # A node of a built-in definition (ObjectMeta): nulls vanish as they do there.
            for key in [key for key, child in value.items() if child is None and key in schema.properties]:
                del value[key]
        if schema.embedded_resource:
            self._embedded(value, schema, path)
        for key in list(value):
            if schema.embedded_resource and key in _TYPE_META:
                continue
            where = f"{path}.{key}" if path else key
            node = schema.properties.get(key, schema.additional_properties)
            if node is None:
                if not schema.preserve_unknown and schema.type in ("object", ""):
                    self._unknown.append(where)
                    del value[key]
            elif value[key] is None:
                # A named field that is absent gets its default; a key that is absent would get none.
                if not node.nullable and (key in schema.properties or node.default is MISSING):
                    del value[key]
            else:
                self.visit(value[key], node, where)

    def _embedded(self, value: dict[str, Any], schema: Schema, path: str) -> None:
        """Type and metadata of an embedded resource: of their types, whatever its schema says."""
        for key in ("apiVersion", "kind"):
            found = value.get(key, "")
            if isinstance(found, str):
                continue
            if not self._salvage:
                raise MismatchError(f"{path}.{key}: Invalid value: {_shown(found)}: must be a string")
            del value[key]
        if "metadata" not in value:
            return
        try:
            found = shape_metadata(value, schema.properties["metadata"], path, salvage=self._salvage)
        except MismatchError as error:
            where = f"{path}.metadata: Invalid value: {_shown(value['metadata'])}"
            raise MismatchError(f"{where}: {error}") from error
        self._of_metadata.extend(found)


_TYPE_META = ("apiVersion", "kind", "metadata")


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()
