"""The types of expressions, those that a CRD's schema gives its objects among them (KEP-2876, "Type Integration").

An object's fields are known by name: one that its schema does not declare can't be named in a rule. Names that CEL
could not spell are escaped. `limit` is how many elements or bytes a value can have at most, for the price of loops.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from keelson.api import schemas
from keelson.api.schemas import Schema

from . import values

# A request holds no more, so neither does a value in it.
MAX_REQUEST_BYTES: Final = 3 * 1024 * 1024


# What messages call types whose own names are longer.
_SHOWN = {"null_type": "null", "google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration"}


class Type:
    """A type: its name, its parameters, and for objects their fields. Compared by identity of what it says."""

    __slots__ = ("fields", "limit", "name", "parameters")

    def __init__(
        self,
        name: str,
        *parameters: Type,
        fields: dict[str, tuple[str, Type]] | None = None,
        limit: int = MAX_REQUEST_BYTES - 2,
    ) -> None:
        self.name = name
        self.parameters = parameters
        # By the name in expressions: (the name in the object, type).
        self.fields = fields
        self.limit = limit

    def __str__(self) -> str:
        name = _SHOWN.get(self.name, self.name)
        return f"{name}({', '.join(map(str, self.parameters))})" if self.parameters else name

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Type):
            return NotImplemented
        if self.fields is not None or other.fields is not None:
            return self is other or (self.name == other.name and self.fields == other.fields)
        return self.name == other.name and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def is_variable(self) -> bool:
        """Whether it stands for any type in a function's declaration."""
        return len(self.name) == 1


DYN, INT, UINT, DOUBLE = Type("dyn"), Type("int"), Type("uint"), Type("double")
BOOL, STRING, BYTES, NULL = Type("bool"), Type("string"), Type("bytes"), Type("null_type")
TIMESTAMP, DURATION = Type("google.protobuf.Timestamp"), Type("google.protobuf.Duration")
IP, CIDR, URL = Type("net.IP"), Type("net.CIDR"), Type("kubernetes.URL")
QUANTITY, SEMVER = Type("kubernetes.Quantity"), Type("kubernetes.Semver")
AUTHORIZER, PATH_CHECK = Type("kubernetes.authorization.Authorizer"), Type("kubernetes.authorization.PathCheck")
GROUP_CHECK = Type("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK = Type("kubernetes.authorization.ResourceCheck")
DECISION = Type("kubernetes.authorization.Decision")
A, B = Type("A"), Type("B")

# The name of the type whose fields are other expressions, evaluated when they are first read.
VARIABLES: Final = "kubernetes.variables"
# The fields of one operation of a JSON patch.
PATCH_FIELDS: Final = {"op": STRING, "path": STRING, "from": STRING, "value": DYN}


def list_of(item: Type, limit: int = MAX_REQUEST_BYTES - 2) -> Type:
    """list(item)."""
    return Type("list", item, limit=limit)


def map_of(key: Type, value: Type, limit: int = MAX_REQUEST_BYTES - 2) -> Type:
    """map(key, value)."""
    return Type("map", key, value, limit=limit)


def optional_of(inner: Type) -> Type:
    """optional_type(inner)."""
    return Type("optional_type", inner)


def type_of(inner: Type) -> Type:
    """type(inner), the type of a type's name."""
    return Type("type", inner)


# Names of types that may stand in an expression.
NAMED: Final = {
    found.name: found
    for found in (
        INT,
        UINT,
        DOUBLE,
        BOOL,
        STRING,
        BYTES,
        NULL,
        DYN,
        TIMESTAMP,
        DURATION,
        QUANTITY,
        SEMVER,
        URL,
        IP,
        CIDR,
    )
} | {"list": list_of(DYN), "map": map_of(DYN, DYN), "type": type_of(DYN)}

_KEYWORDS = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
    "import", "let", "loop", "package", "namespace", "return",
    "var", "void", "while",
})  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


def escaped(name: str) -> str:
    """A field's name as expressions spell it; "" where they can't."""
    if not _NAME.fullmatch(name):
        return ""
    if name in _KEYWORDS:
        return f"__{name}__"
    return re.sub(r"__|\.|-|/", lambda match: _ESCAPES[match[0]], name)


# --- types of schemas

_STRING_SIZES = {"date": 12, "date-time": 32, "duration": 32}


def _least(schema: Schema) -> int:
    """The bytes that the shortest JSON of a value has."""
    match schema.type:
        case "boolean":
            return 4
        case "integer" | "number":
            return 1
        case "object":
            size = 2
            for name, child in schema.properties.items():
                if name in schema.required and child.default is schemas.MISSING:
                    size += len(name) + _least(child) + 4
            return size
    return 2 if schema.type else 1


def _text(schema: Schema) -> Type:
    rules = schema.constraints
    # Schemas of built-in kinds have their formats elsewhere than those of CRDs.
    form = rules.get("format", "") or schema.format
    most = MAX_REQUEST_BYTES - 2
    if rules.get("maxLength") is not None:
        # Characters have up to four bytes.
        most = rules["maxLength"] * 4
    elif rules.get("enum"):
        most = max(len(item) for item in rules["enum"] if isinstance(item, str))
    elif form in _STRING_SIZES:
        most = _STRING_SIZES[form]
    match form:
        case "byte":
            return Type("bytes", limit=most)
        case "date" | "date-time" | "micro-time":
            return TIMESTAMP
        case "duration":
            return DURATION
    return Type("string", limit=most)


def of_schema(schema: Schema, *, root: bool = False, within: frozenset[str] = frozenset()) -> Type | None:
    """The type of what a schema describes; None where rules may not look (unknown fields).

    `within` are the names of the built-in definitions around it: one that holds itself is of any type inside.
    """
    if schema.name and schema.properties:
        if schema.name in within:
            return DYN
        within |= {schema.name}
    rules = schema.constraints
    if schema.format == "int-or-string":
        return DYN
    match schema.type:
        case "array":
            item = of_schema(schema.items, within=within) if schema.items is not None else None
            if item is None or schema.items is None:
                return None
            most = rules.get("maxItems")
            return list_of(item, most if most is not None else (MAX_REQUEST_BYTES - 2) // (_least(schema.items) + 1))
        case "object":
            return _object(schema, within, root=root)
        case "boolean":
            return BOOL
        case "integer":
            return INT
        case "number":
            return DOUBLE
        case "string":
            return _text(schema)
    return None


def _object(schema: Schema, within: frozenset[str], *, root: bool) -> Type | None:
    if schema.additional_properties is not None:
        value = of_schema(schema.additional_properties, within=within)
        if value is None:
            return None
        most = schema.constraints.get("maxProperties")
        least = (MAX_REQUEST_BYTES - 2) // (_least(schema.additional_properties) + 6)
        return map_of(STRING, value, most if most is not None else least)
    fields: dict[str, tuple[str, Type]] = {}
    whole = root or schema.embedded_resource
    for name, child in schema.properties.items():
        if whole and name == "metadata":
            identity = {"name": ("name", STRING), "generateName": ("generateName", STRING)}
            fields[name] = (name, Type("ObjectMeta", fields=identity))
            continue
        found = of_schema(child, within=within)
        spelled = escaped(name)
        if found is not None and spelled:
            fields[spelled] = (name, found)
    return Type("object", fields=fields)


# --- from JSON to values

Conversion = Callable[[Any], Any]


def conversion(schema: Schema) -> Conversion | None:
    """How a JSON value of the schema becomes what expressions compute with; None where it is that already."""
    form = schema.constraints.get("format", "")
    match schema.type:
        case "number":
            return lambda value: float(value) if type(value) is int else value
        case "string" if form == "byte":
            return _bytes
        case "string" if form in ("date", "date-time"):
            return _moment
        case "string" if form == "duration":
            return lambda value: values.duration(value) if isinstance(value, str) else value
        case "array":
            return _list_conversion(schema)
        case "object":
            return _map_conversion(schema)
    return None


def _bytes(value: Any) -> Any:
    return base64.b64decode(value) if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return values.timestamp(value if "T" in value.upper() else f"{value}T00:00:00Z")


def _list_conversion(schema: Schema) -> Conversion | None:
    inner = conversion(schema.items) if schema.items is not None else None
    make: Callable[[list[Any]], list[Any]] | None = None
    if schema.list_type == "set":
        make = values.SetList
    elif schema.list_type == "map":
        keys = schema.list_map_keys
        make = lambda items: values.MapList(items, keys)  # noqa: E731
    if inner is None and make is None:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        items = value if inner is None else [inner(item) for item in value]
        return items if make is None else make(items)

    return convert


def _map_conversion(schema: Schema) -> Conversion | None:
    each = {name: found for name, child in schema.properties.items() if (found := conversion(child)) is not None}
    rest = conversion(schema.additional_properties) if schema.additional_properties is not None else None
    if not each and rest is None:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if rest is not None:
            return {key: rest(item) for key, item in value.items()}
        return {key: each[key](item) if key in each else item for key, item in value.items()}

    return convert


# --- agreement


class Substitution:
    """What the variables of a function's declaration stand for in one call."""

    def __init__(self) -> None:
        self._known: dict[str, Type] = {}

    def agree(self, wanted: Type, found: Type) -> bool:
        """Whether a value of type `found` may stand where `wanted` is asked for; remembers variables."""
        if wanted.is_variable:
            known = self._known.get(wanted.name)
            if known is None or known.name == "dyn":
                self._known[wanted.name] = found
                return True
            return self.agree(known, found)
        if wanted.name == "dyn" or found.name == "dyn":
            return True
        if found.name == "null_type" and wanted.fields is not None:
            # Messages may be null.
            return True
        if wanted.name == "null_type" and found.fields is not None:
            return True
        if wanted.fields is not None or found.fields is not None:
            return (
                wanted.fields is not None and found.fields is not None and wanted.fields.keys() == found.fields.keys()
            )
        if found.name == "null_type":
            return wanted.name in (
                "null_type",
                "optional_type",
                "google.protobuf.Timestamp",
                "google.protobuf.Duration",
            )
        if wanted.name != found.name:
            return False
        if wanted.name == "type":
            # Types are compared when they are known.
            return True
        return all(self.agree(a, b) for a, b in zip(wanted.parameters, found.parameters, strict=False))

    def applied(self, found: Type) -> Type:
        """The type with its variables replaced."""
        if found.is_variable:
            return self._known.get(found.name, DYN)
        if not found.parameters:
            return found
        limit = found.limit
        return Type(found.name, *(self.applied(each) for each in found.parameters), limit=limit)


def common(found: Iterable[Type]) -> Type:
    """The type that all of these have; dyn where they differ."""
    kinds = list(found)
    if not kinds:
        return DYN
    first = kinds[0]
    if all(Substitution().agree(first, other) for other in kinds[1:]):
        return max(kinds, key=lambda kind: kind.limit)
    return DYN
