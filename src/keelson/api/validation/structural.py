"""Judges a custom resource by its CRD version's schema: types, enumerations, bounds, patterns, logic, list keys.

Rules in CEL (`x-kubernetes-validations`) are judged by `rules`, once the object has its schema's shape.
What an update leaves unchanged is not judged again where it can be told apart (KEP-4008). Messages, and which of the
branches of an anyOf or oneOf speaks where none fits, are those of upstream's validator (JSON Schema, draft 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from keelson.api import regexes
from keelson.api.meta import Object
from keelson.api.schemas import Schema, structural
from keelson.api.validation import causes, embedded_resources, formats
from keelson.api.validation.causes import Causes

_LOGIC = ("allOf", "anyOf", "oneOf")
_INT32_MAX = (1 << 31) - 1
# Reasons that keep rules from being judged: what the object lacks or has the wrong type of, they could not read.
BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)


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


_NUMBER_FORMATS = {"integer": "int64", "number": "float64"}


def _number(value: float) -> str:
    """A number as Go's %v shows it: no fraction that is none."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e21):
        return str(int(value))
    return repr(value)


def _equal(value: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1, as it is to Python."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


class _Judge:
    """One walk; `prefix` goes before each cause's field, but not into its words."""

    def __init__(self, prefix: str = "") -> None:
        self.out: Causes = []
        self._prefix = prefix

    def _field(self, path: str) -> str:
        return ".".join(part for part in (self._prefix, path.removeprefix(".")) if part) or "<nil>"

    def _invalid(self, path: str, value: Any, words: str) -> None:
        self.out.append(causes.invalid(self._field(path), value, f"{path} in body {words}"))

    def value(self, value: Any, schema: Schema, path: str, old: Any) -> int:
        """Judge a value by a node; how many checks it passed, by which the best of several branches is chosen."""
        # Where unknown fields are kept, nothing is let be as a whole: the schema does not know all of it.
        if old is not None and not schema.preserve_unknown and _equal(value, old):
            return 1
        count = self._type(value, schema, path)
        if value is None:
            if "enum" in schema.constraints:
                self._enum(value, schema.constraints["enum"], path)
            return count + 1
        rules = schema.constraints
        before = len(self.out)
        if rules:
            count += self._constraints(value, schema, rules, path, old)
        if isinstance(value, list):
            count += self._list(value, schema, path, old if isinstance(old, list) else [])
        elif isinstance(value, dict):
            count += self._object(value, schema, path, old if isinstance(old, dict) else {})
        return count + 3 + (before == len(self.out))

    def _type(self, value: Any, schema: Schema, path: str) -> int:
        wanted = "integer,string" if schema.format == "int-or-string" else schema.type
        form = formats.supported(schema)
        if not wanted and not form:
            return 0
        found = _type_name(value)
        if value is None and (schema.nullable or not wanted):
            return 2
        fits = found in wanted.split(",") or (found == "integer" and wanted == "number")
        # JSON knows no integers: 1.0 is one.
        fits = fits or (wanted == "integer" and isinstance(value, float) and value.is_integer())
        if form and value is not None and not isinstance(value, str | list) and not fits:
            wanted, found, fits = form, _NUMBER_FORMATS.get(found, ""), found in _NUMBER_FORMATS and not wanted
        if fits or not wanted:
            return 2
        words = f'{path} in body must be of type {wanted}: "{found}"'
        self.out.append(causes.wrong_type(self._field(path), found, words))
        return 1

    def _constraints(self, value: Any, schema: Schema, rules: Mapping[str, Any], path: str, old: Any) -> int:
        count = self._logic(value, schema, rules, path, old)
        if isinstance(value, str):
            self._text(value, schema, rules, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self._bounds(value, schema, rules, path)
        if "enum" in rules:
            self._enum(value, rules["enum"], path)
        return count

    def _enum(self, value: Any, enum: list[Any], path: str) -> None:
        if value is None or not any(_equal(value, each) for each in enum):
            listed = [each if isinstance(each, str) else orjson.dumps(each).decode() for each in enum]
            self.out.append(causes.unsupported(self._field(path), value, listed, ordered=True))

    def _text(self, value: str, schema: Schema, rules: Mapping[str, Any], path: str) -> None:
        least, most, pattern = rules.get("minLength"), rules.get("maxLength"), rules.get("pattern")
        if most is not None and len(value) > most:
            self.out.append(causes.too_long(self._field(path), most))
        elif least is not None and len(value) < least:
            self._invalid(path, value, f"should be at least {least} chars long")
        elif pattern and regexes.compile(pattern).search(value) is None:
            self._invalid(path, value, f"should match '{pattern}'")
        form = formats.supported(schema)
        if form and schema.type not in ("integer", "number") and not formats.accepts(form, value):
            words = f"{path} in body must be of type {form}: {orjson.dumps(value).decode()}"
            self.out.append(causes.wrong_type(self._field(path), value, words))

    def _bounds(self, value: float, schema: Schema, rules: Mapping[str, Any], path: str) -> None:
        whole = isinstance(value, int)
        if whole and schema.type == "integer":
            form = formats.supported(schema)
            if not -_INT32_MAX - 1 <= value <= _INT32_MAX and form == "int32":
                words = f"Checked value must be of type integer with format int32 in {path}"
                self.out.append(causes.invalid(self._field(""), "", words))
        factor, least, most = rules.get("multipleOf"), rules.get("minimum"), rules.get("maximum")
        if factor and not _is_multiple(value, factor):
            self._invalid(path, value, f"should be a multiple of {_number(int(factor) if whole else factor)}")
        if least is not None and (value < least or (rules.get("exclusiveMinimum") and value == least)):
            words = "greater than" if rules.get("exclusiveMinimum") else "greater than or equal to"
            self._invalid(path, value, f"should be {words} {_number(int(least) if whole else least)}")
        if most is not None and (value > most or (rules.get("exclusiveMaximum") and value == most)):
            words = "less than" if rules.get("exclusiveMaximum") else "less than or equal to"
            self._invalid(path, value, f"should be {words} {_number(int(most) if whole else most)}")

    def _object(self, value: Object, schema: Schema, path: str, old: Object) -> int:
        rules = schema.constraints
        least, most = rules.get("minProperties"), rules.get("maxProperties")
        if least is not None and len(value) < least:
            self._invalid(path, len(value), f"should have at least {least} properties")
        if most is not None and len(value) > most:
            self.out.append(causes.too_many(self._field(path), len(value), most))
        if schema.map_type == "atomic":
            old = {}
        count = 0
        for key, child in value.items():
            if key in schema.stated:
                node: Schema | None = schema.stated[key]
            else:
                node = schema.properties.get(key, schema.additional_properties)
                # The metadata of every object has rules of its own.
                if node is not None and node.name:
                    continue
            if node is not None:
                within = path or key not in schema.properties
                # What type an object has is always judged: it is the request's, and not the stored one's.
                former = None if not path and key in ("apiVersion", "kind") else old.get(key)
                count += self.value(child, node, f"{path}.{key}" if within else key, former)
        for key in sorted(schema.required):
            if key not in value:
                self.out.append(causes.required(self._field(f"{path}.{key}")))
        return count

    def _list(self, value: list[Any], schema: Schema, path: str, old: list[Any]) -> int:
        count = 0
        if schema.items is not None:
            known = _by_keys(schema, old)
            for index, item in enumerate(value):
                before = known.get(_keys_of(schema, item)) if known else None
                count += self.value(item, schema.items, f"{path}[{index}]", before)
        least, most = schema.constraints.get("minItems"), schema.constraints.get("maxItems")
        if least is not None and len(value) < least:
            self._invalid(path, len(value), f"should have at least {least} items")
        if most is not None and len(value) > most:
            self.out.append(causes.too_many(self._field(path), len(value), most))
        return count + 1

    # --- logic

    def _logic(self, value: Any, schema: Schema, rules: Mapping[str, Any], path: str, old: Any) -> int:
        if schema.branches is None:
            made: dict[str, Any] = {
                word: [structural(each, root=False) for each in rules[word]] for word in _LOGIC if rules.get(word)
            }
            if "not" in rules:
                made["not"] = structural(rules["not"], root=False)
            schema.branches = made
        branches = schema.branches
        if not branches:
            return 0
        count = 0
        if "anyOf" in branches:
            count += self._any_of(value, branches["anyOf"], path, old)
        if "oneOf" in branches:
            count += self._one_of(value, branches["oneOf"], path, old)
        if "allOf" in branches:
            tries = [self._tried(value, branch, path, old) for branch in branches["allOf"]]
            passed = sum(not judge.out for judge, _ in tries)
            for judge, score in tries:
                self.out.extend(judge.out)
                count += score
            if passed != len(tries):
                words = f'"{path}" must validate all the schemas (allOf){"" if passed else ". None validated"}'
                self.out.append(causes.invalid(self._field(""), "", words))
        if "not" in branches and not self._tried(value, branches["not"], path, old)[0].out:
            self.out.append(causes.invalid(self._field(""), "", f'"{path}" must not validate the schema (not)'))
        return count

    def _tried(self, value: Any, branch: Schema, path: str, old: Any) -> tuple[_Judge, int]:
        judge = _Judge(self._prefix)
        # The branch itself is judged whole; what did not change below it is let be.
        count = judge.value(value, branch, path, _Below(old) if isinstance(old, dict) else None)
        return judge, count

    def _any_of(self, value: Any, branches: list[Schema], path: str, old: Any) -> int:
        best: tuple[_Judge, int] | None = None
        for branch in branches:
            judge, score = self._tried(value, branch, path, old)
            if not judge.out:
                return score
            if best is None or score > best[1]:
                best = (judge, score)
        self.out.append(causes.invalid(self._field(""), "", f'"{path}" must validate at least one schema (anyOf)'))
        return self._taken(best)

    def _one_of(self, value: Any, branches: list[Schema], path: str, old: Any) -> int:
        best: tuple[_Judge, int] | None = None
        passed = count = 0
        for branch in branches:
            judge, score = self._tried(value, branch, path, old)
            if not judge.out:
                passed += 1
                count = count or score
            elif not passed and (best is None or score > best[1]):
                best = (judge, score)
        if passed == 1:
            return count
        more = f"Found {passed} valid alternatives" if passed else "Found none valid"
        words = f'"{path}" must validate one and only one schema (oneOf). {more}'
        self.out.append(causes.invalid(self._field(""), "", words))
        return self._taken(None if passed else best)

    def _taken(self, best: tuple[_Judge, int] | None) -> int:
        if best is None:
            return 0
        self.out.extend(best[0].out)
        return best[1]


class _Below(dict[str, Any]):
    """A former value whose parts may be compared, but that equals nothing as a whole."""

    __hash__ = None

    def __eq__(self, _other: object) -> bool:
        return False


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int):
        whole = int(factor)
        return whole > 0 and value % whole == 0
    quotient = 1 / factor * value if factor < 1 else value / factor
    # As near to a whole number as floats tell it.
    return math.isfinite(quotient) and abs(quotient - round(quotient)) <= 1e-9 * max(1.0, abs(quotient))


# --- lists


def _keys_of(schema: Schema, item: Any) -> bytes:
    found = {key: item.get(key) for key in schema.list_map_keys} if isinstance(item, dict) else {}
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS)


def _by_keys(schema: Schema, old: list[Any]) -> dict[bytes, Any]:
    """The items of a former list by their keys, where it is a map."""
    if schema.list_type != "map":
        return {}
    return {_keys_of(schema, item): item for item in old if isinstance(item, dict)}


def _lists(value: Any, schema: Schema, path: str, out: Causes) -> None:
    """Duplicates in lists that are sets or maps, wherever they stand."""
    if isinstance(value, dict):
        for key, child in value.items():
            named = schema.properties.get(key)
            if named is not None:
                if not named.name:
                    _lists(child, named, f"{path}.{key}" if path else key, out)
            elif schema.additional_properties is not None:
                _lists(child, schema.additional_properties, f"{path}[{key}]", out)
        return
    if not isinstance(value, list):
        return
    if schema.list_type == "map":
        _unique_keys(value, schema, path, out)
    elif schema.list_type == "set" and len(value) > 1:
        _unique(value, value, path, out)
    if schema.items is not None:
        for index, item in enumerate(value):
            _lists(item, schema.items, f"{path}[{index}]", out)


def _unique_keys(value: list[Any], schema: Schema, path: str, out: Causes) -> None:
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            words = "must be an object for an array of list-type map"
            out.append(causes.invalid(f"{path}[{index}]", item, words))
            return
    keys = [{key: item[key] for key in schema.list_map_keys if key in item} if item else {} for item in value]
    _unique(keys, keys, path, out)


def _unique(identities: list[Any], shown: list[Any], path: str, out: Causes) -> None:
    seen: dict[bytes, int] = {}
    for index, each in enumerate(identities):
        key = orjson.dumps(each, option=orjson.OPT_SORT_KEYS)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            out.append(causes.duplicate(f"{path}[{index}]", shown[index]))


# --- scale


def _at(obj: Any, path: str) -> Any:
    for part in path.lstrip(".").split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def _replicas(out: Causes, obj: Object, path: str) -> None:
    found = _at(obj, path)
    if found is None:
        return
    if not isinstance(found, int) or isinstance(found, bool):
        kind = {"boolean": "bool", "number": "float64"}.get(_type_name(found), _type_name(found))
        words = f"{path} accessor error: {found} is of the type {kind}, expected int64"
        out.append(causes.invalid(path, 0, words))
    elif found < 0:
        out.append(causes.invalid(path, found, "should be a non-negative integer"))
    elif found > _INT32_MAX:
        out.append(causes.invalid(path, found, f"should be less than or equal to {_INT32_MAX}"))


def scale_causes(scale: Mapping[str, Any], obj: Object, *, subresource: str = "") -> Causes:
    """What is wrong with what the scale subresource (spec.versions[].subresources.scale) would show of an object."""
    out: Causes = []
    if subresource != "status":
        _replicas(out, obj, scale["specReplicasPath"])
    _replicas(out, obj, scale["statusReplicasPath"])
    path = scale.get("labelSelectorPath") or ""
    found = _at(obj, path) if path else None
    if found is not None and not isinstance(found, str):
        words = f"{path} accessor error: {found} is of the type {_type_name(found)}, expected string"
        out.append(causes.invalid(path, "", words))
    return out


# --- whole objects


def value_causes(schema: Schema, value: Any, path: str) -> Causes:
    """The causes why a value is none of a schema's, wherever it stands; their words tell the way from it."""
    judge = _Judge(path)
    judge.value(value, schema, "", None)
    return _once(judge.out)


def _once(found: Causes) -> Causes:
    """Each complaint once: branches of a schema's logic may find the same."""
    return list({(cause["field"], cause["message"]): cause for cause in found}.values())


def validate(schema: Schema, obj: Object, old: Object | None = None, *, subresource: str = "") -> Causes:
    """The causes why `obj` is no valid object of the schema.

    A write of the subresource "status" is judged by what the schema says of status. The metadata that every object has,
    its apiVersion and its kind have rules of their own.
    """
    if subresource == "status":
        judge = _Judge("status")
        node = schema.properties.get("status")
        if "status" in obj and node is not None:
            judge.value(obj["status"], node, "", (old or {}).get("status"))
    else:
        judge = _Judge()
        # Its parts may be let be, but never the whole: metadata is no part of the schema.
        judge.value(obj, schema, "", None if old is None else _Below(old))
    out = _once(judge.out)
    if subresource != "status":
        embedded_resources.check(out, obj, schema)
    lists: Causes = []
    _lists(obj, schema, "", lists)
    if lists and old is not None:
        former: Causes = []
        _lists(old, schema, "", former)
        if former:
            # A list that broke its rule already may go on doing so.
            lists = []
    return out + lists
