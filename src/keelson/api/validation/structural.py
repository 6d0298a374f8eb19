"""Judges a custom resource by its CRD version's schema: types, enumerations, bounds, patterns, logic, list keys.

Rules in CEL (`x-kubernetes-validations`) are judged by `rules`, once the object has its schema's shape.
What a ratcheting update leaves unchanged is not judged again (KEP-4008). The messages are upstream's validator's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from keelson.api import quantities, regexes
from keelson.api.meta import Object, parse_time
from keelson.api.schemas import Schema, structural
from keelson.api.validation import causes
from keelson.api.validation.causes import Causes


def _date(text: str) -> None:
    datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 - a calendar date has no zone


def _time(text: str) -> None:
    parse_time(text)


def _bytes(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text) or len(text) % 4:
        raise ValueError


_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def _uuid(text: str) -> None:
    if not _UUID.fullmatch(text):
        raise ValueError


def _version(wanted: int) -> Callable[[str], None]:
    def check(text: str) -> None:
        if ipaddress.ip_address(text).version != wanted:
            raise ValueError

    return check


_FORMATS: dict[str, Callable[[str], object]] = {
    "byte": _bytes,
    "cidr": lambda text: ipaddress.ip_network(text, strict=False),
    "date": _date,
    "date-time": _time,
    "ipv4": _version(4),
    "ipv6": _version(6),
    "quantity": quantities.parse,
    "uuid": _uuid,
}


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _has_type(value: Any, schema: Schema) -> bool:
    if schema.format == "int-or-string":
        return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    found = _type_name(value)
    if not schema.type or found == schema.type:
        return True
    if schema.type == "number":
        return found == "integer"
    # JSON knows no integers: 1.0 is one.
    return schema.type == "integer" and isinstance(value, float) and value.is_integer()


class _Judge:
    def __init__(self) -> None:
        self.out: Causes = []

    def value(self, value: Any, schema: Schema, path: str, old: Any) -> None:
        if value is None and schema.nullable:
            return
        if old is not None and value == old:
            return
        if not _has_type(value, schema):
            wanted = schema.type or "integer,string"
            shown = f'{path} in body must be of type {wanted}: "{_type_name(value)}"'
            self.out.append(
                causes.invalid(path, value if not isinstance(value, dict | list) else _type_name(value), shown)
            )
            return
        if schema.constraints:
            self.constraints(value, schema, path)
        if isinstance(value, dict):
            if schema.embedded_resource:
                self._embedded(value, path)
            self._object(value, schema, path, old if isinstance(old, dict) else {})
        elif isinstance(value, list):
            self._list(value, schema, path, old if isinstance(old, list) else [])

    def _object(self, value: Object, schema: Schema, path: str, old: Object) -> None:
        for key in sorted(schema.required):
            if key not in value:
                self.out.append(causes.required(f"{path}.{key}" if path else key))
        for key, child in value.items():
            node = schema.properties.get(key, schema.additional_properties)
            if node is not None:
                self.value(child, node, f"{path}.{key}" if path else key, old.get(key))

    def _embedded(self, value: Object, path: str) -> None:
        """x-kubernetes-embedded-resource: an object of its own, with a type and metadata."""
        for key in ("apiVersion", "kind"):
            if not value.get(key):
                self.out.append(causes.required(f"{path}.{key}", "must not be empty"))
            elif not isinstance(value[key], str):
                self.out.append(causes.invalid(f"{path}.{key}", value[key], "must be a string"))
        if not isinstance(value.get("metadata", {}), dict):
            self.out.append(causes.invalid(f"{path}.metadata", value["metadata"], "must be an object"))

    def _list(self, value: list[Any], schema: Schema, path: str, old: list[Any]) -> None:
        keys = schema.list_map_keys if schema.list_type == "map" else ()
        seen: list[Any] = []
        if schema.list_type in ("map", "set"):
            for index, item in enumerate(value):
                identity = {key: item.get(key) for key in keys} if keys and isinstance(item, dict) else item
                if identity in seen:
                    self.out.append(causes.duplicate(f"{path}[{index}]", identity))
                seen.append(identity)
        if schema.items is None:
            return
        for index, item in enumerate(value):
            before = None
            if keys and isinstance(item, dict):
                before = next(
                    (o for o in old if isinstance(o, dict) and all(o.get(k) == item.get(k) for k in keys)), None
                )
            self.value(item, schema.items, f"{path}[{index}]", before)

    def constraints(self, value: Any, schema: Schema, path: str) -> None:
        rules = schema.constraints
        enum = rules.get("enum")
        if enum is not None and value not in enum:
            self.out.append(causes.unsupported(path, value, [str(item) for item in enum]))
        if isinstance(value, str):
            self._text(value, rules, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self._number(value, rules, path)
        elif isinstance(value, list):
            self._size(len(value), rules, path, ("minItems", "maxItems"), "items")
        elif isinstance(value, dict):
            self._size(len(value), rules, path, ("minProperties", "maxProperties"), "properties")
        self._logic(value, rules, path)

    def _text(self, value: str, rules: Any, path: str) -> None:
        least, most, pattern = rules.get("minLength"), rules.get("maxLength"), rules.get("pattern")
        if least is not None and len(value) < least:
            self.out.append(causes.invalid(path, value, f"{path} in body should be at least {least} chars long"))
        if most is not None and len(value) > most:
            self.out.append(causes.too_long(path, most))
        if pattern is not None and regexes.compile(pattern).search(value) is None:
            self.out.append(causes.invalid(path, value, f"{path} in body should match '{pattern}'"))
        check = _FORMATS.get(rules.get("format", ""))
        if check is not None:
            try:
                check(value)
            except ValueError:
                detail = f'{path} in body must be of type {rules["format"]}: "{value}"'
                self.out.append(causes.invalid(path, value, detail))

    def _number(self, value: float, rules: Any, path: str) -> None:
        least, most, factor = rules.get("minimum"), rules.get("maximum"), rules.get("multipleOf")
        if least is not None and (value < least or (rules.get("exclusiveMinimum") and value == least)):
            words = "greater than" if rules.get("exclusiveMinimum") else "greater than or equal to"
            self.out.append(causes.invalid(path, value, f"{path} in body should be {words} {least}"))
        if most is not None and (value > most or (rules.get("exclusiveMaximum") and value == most)):
            words = "less than" if rules.get("exclusiveMaximum") else "less than or equal to"
            self.out.append(causes.invalid(path, value, f"{path} in body should be {words} {most}"))
        if factor and value % factor:
            self.out.append(causes.invalid(path, value, f"{path} in body should be a multiple of {factor}"))

    def _size(self, size: int, rules: Any, path: str, names: tuple[str, str], what: str) -> None:
        least, most = rules.get(names[0]), rules.get(names[1])
        if least is not None and size < least:
            self.out.append(causes.invalid(path, size, f"{path} in body should have at least {least} {what}"))
        if most is not None and size > most:
            self.out.append(causes.too_many(path, size, most))

    def _logic(self, value: Any, rules: Any, path: str) -> None:
        for branch in rules.get("allOf", ()):
            self.value(value, structural(branch, root=False), path, None)
        if "anyOf" in rules and not any(_passes(value, branch) for branch in rules["anyOf"]):
            self.out.append(causes.invalid(path, value, f'"{path}" must validate at least one schema (anyOf)'))
        if "oneOf" in rules and sum(_passes(value, branch) for branch in rules["oneOf"]) != 1:
            self.out.append(causes.invalid(path, value, f'"{path}" must validate one and only one schema (oneOf)'))
        if "not" in rules and _passes(value, rules["not"]):
            self.out.append(causes.invalid(path, value, f'"{path}" must not validate the schema (not)'))


def _passes(value: Any, branch: dict[str, Any]) -> bool:
    judge = _Judge()
    judge.value(value, structural(branch, root=False), "", None)
    return not judge.out


def value_causes(schema: Schema, value: Any, path: str) -> Causes:
    """The causes why a value is none of a schema's, wherever it stands."""
    judge = _Judge()
    judge.value(value, schema, path, None)
    return judge.out


def validate(schema: Schema, obj: Object, old: Object | None = None) -> Causes:
    """The causes why `obj` is no valid object of the schema; metadata, apiVersion and kind have rules of their own."""
    judge = _Judge()
    body = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    before = old or {}
    for key in sorted(schema.required - {"apiVersion", "kind", "metadata"}):
        if key not in body:
            judge.out.append(causes.required(key))
    if schema.constraints:
        judge.constraints(body, schema, "")
    for key, child in body.items():
        node = schema.properties.get(key, schema.additional_properties)
        if node is not None:
            judge.value(child, node, key, before.get(key))
    if schema.names is not None:
        _names(judge, schema.names, obj)
    return judge.out


def _names(judge: _Judge, schema: Schema, obj: Object) -> None:
    """A schema may narrow the names of its objects, and nothing else of their metadata."""
    for field, node in schema.properties.items():
        found = (obj.get("metadata") or {}).get(field)
        if found is not None:
            judge.value(found, node, f"metadata.{field}", None)
