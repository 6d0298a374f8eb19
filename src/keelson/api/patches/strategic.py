"""Strategic merge patch: a merge patch that knows which lists are merged, and by which key.

Upstream's algorithm, result order included: lists with patch strategy `merge` are merged by their merge key (scalars as
sets), what the patch adds comes before what only the server has unless `$setElementOrder` says otherwise. Directives:
`$patch` (replace, delete, merge), `$retainKeys`, `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`.
Rules: the API reference's "strategic merge patch" and its directives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keelson.api import errors
from keelson.api.patches.json_patch import same
from keelson.api.schemas import Schema

_PATCH, _RETAIN = "$patch", "$retainKeys"
_DELETE_FROM, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"

_ANY = Schema()


def apply(schema: Schema, document: Mapping[str, Any], patch: Any) -> dict[str, Any]:
    """The object with the patch merged in; untouched parts are shared with `document`.

    Raises StatusError: 400 where the patch is malformed, 422 where its lists can't be merged.
    """
    if not isinstance(patch, dict):
        raise errors.bad_request("error decoding patch: a strategic merge patch is an object")
    return _merge_map(schema, document, patch)


def _malformed(why: str) -> errors.StatusError:
    return errors.bad_request(why)


def _unmergeable(why: str) -> errors.StatusError:
    error = errors.StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {})
    error.add_note(why)
    return error


def _child(schema: Schema, key: str) -> Schema:
    return schema.properties.get(key) or schema.additional_properties or _ANY


def _merge_map(schema: Schema, original: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    if _PATCH in patch:
        directive = patch[_PATCH]
        if directive == "replace":
            return _plain_map({key: value for key, value in patch.items() if key != _PATCH})
        if directive == "delete":
            return {}
        raise _malformed(f"unknown patch type: {directive!r} in map")
    result = dict(original)
    if _RETAIN in patch:
        _retain(result, patch)
    ordered: set[str] = set()
    for key, value in patch.items():
        if key.startswith(_ORDER):
            field = key[len(_ORDER) :]
            ordered.add(field)
            _order(_child(schema, field), field, result, patch, value)
    for key, value in patch.items():
        if key == _RETAIN or key.startswith(_ORDER) or key in ordered:
            continue
        if key.startswith(_DELETE_FROM):
            _delete_from(key[len(_DELETE_FROM) :], result, value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_value(_child(schema, key), key, result.get(key), value)
    return result


def _merge_value(schema: Schema, key: str, original: Any, value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(original, dict):
            return _plain_map(value) if "replace" in schema.patch_strategies else _merge_map(schema, original, value)
        return _plain_map(value)
    if isinstance(value, list):
        if isinstance(original, list) and "merge" in schema.patch_strategies:
            return _merge_list(schema, key, original, value)
        return _plain_list(value)
    return value


def _retain(result: dict[str, Any], patch: Mapping[str, Any]) -> None:
    kept = patch[_RETAIN]
    if not isinstance(kept, list):
        raise _malformed(f"invalid patch format of {_RETAIN}: it must be a list")
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in kept:
            raise _malformed(f"{_RETAIN} directive conflicts with the fields set: {key} is set and not retained")
    for key in [key for key in result if key not in kept]:
        del result[key]


def _delete_from(field: str, result: dict[str, Any], doomed: Any) -> None:
    if not isinstance(doomed, list):
        raise _malformed(f"invalid patch format of {_DELETE_FROM[:-1]}: it must be a list")
    current = result.get(field)
    if isinstance(current, list):
        result[field] = [each for each in current if not _among(each, doomed)]


def _among(value: Any, values: Sequence[Any]) -> bool:
    return any(same(value, each) for each in values)


def _order(schema: Schema, field: str, result: dict[str, Any], patch: Mapping[str, Any], order: Any) -> None:
    """Merges a list together with the order that the patch demands for it."""
    if not isinstance(order, list):
        raise _malformed(f"invalid patch format of {_ORDER[:-1]}: it must be a list")
    original, change = result.get(field), patch.get(field)
    for value in (original, change):
        if value is not None and not isinstance(value, list):
            raise _malformed(f"invalid patch format: {field} is not a list")
    key = schema.merge_key
    _check_order(key, change or [], order)
    if change is None:
        if original is None:
            return
        merged = original
    elif original is None:
        merged = _plain_list(change)
    else:
        merged = _merge_value(schema, field, original, change)
    result[field] = _sorted(merged, order, original or [], key)


def _check_order(key: str, change: Sequence[Any], order: Sequence[Any]) -> None:
    position = 0
    for each in change:
        if isinstance(each, dict) and _PATCH in each:
            continue
        while position < len(order) and not _same_element(each, order[position], key):
            position += 1
        if position == len(order):
            raise _malformed("The order in patch list doesn't match the $setElementOrder list")


def _element(each: Any, key: str) -> Any:
    """What identifies a list's element: the merge key's value of a mapping, else the element itself."""
    if isinstance(each, dict):
        if not key:
            raise _unmergeable("cannot merge lists of maps without a merge key")
        if key not in each:
            raise _malformed(f"map: {each} does not contain declared merge key: {key}")
        return each[key]
    return each


def _same_element(left: Any, right: Any, key: str) -> bool:
    return same(_element(left, key), _element(right, key))


def _merge_list(schema: Schema, name: str, original: list[Any], patch: list[Any]) -> list[Any]:
    if not original and not patch:
        return original
    kinds = {_kind(each) for each in (*original, *patch)}
    if "list" in kinds:
        raise _unmergeable("lists of lists are not supported")
    if len(kinds) > 1:
        raise _unmergeable(f"the elements of {name} are of different types")
    key = schema.merge_key
    if kinds == {"scalar"}:
        merged: list[Any] = []
        seen: set[Any] = set()
        for each in (*original, *patch):
            marked = (type(each), each)
            if marked not in seen:
                seen.add(marked)
                merged.append(each)
        return _sorted(merged, patch, original, "")
    if not key:
        raise _unmergeable(f"cannot merge lists without merge key for {schema.name or name}")
    original, patch = _directives(original, patch, key)
    merged = _merge_elements(schema.items or _ANY, original, patch, key)
    return _sorted(merged, patch, original, key)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "map"
    return "list" if isinstance(value, list) else "scalar"


def _directives(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carries out the `$patch` directives among a patch's elements; returns what is left to merge."""
    plain: list[Any] = []
    replace = False
    for each in patch:
        directive = each.get(_PATCH)
        if directive is None:
            plain.append(each)
        elif directive == "delete":
            doomed = _element(each, key)
            original = [kept for kept in original if not same(kept.get(key), doomed)]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _malformed("merging lists cannot yet be specified in the patch")
        else:
            raise _malformed(f"unknown patch type: {directive!r} in list")
    return ([], plain) if replace else (original, plain)


def _hashable(value: Any) -> Any:
    """A dictionary key that distinguishes JSON scalars; mappings and lists never are merge keys."""
    if isinstance(value, (dict, list)):
        raise _unmergeable("a merge key's value must be a scalar")
    return (isinstance(value, bool), value)


def _merge_elements(items: Schema, original: list[Any], patch: list[Any], key: str) -> list[Any]:
    result = list(original)
    where: dict[Any, int] = {}
    for index, each in enumerate(original):
        if key in each:
            where.setdefault(_hashable(each[key]), index)
    for each in patch:
        identity = _hashable(_element(each, key))
        index = where.get(identity, -1)
        if index < 0:
            where[identity] = len(result)
            result.append(_plain_map(each))
        else:
            result[index] = _merge_map(items, result[index], each)
    return result


def _sorted(merged: list[Any], order: Sequence[Any], server: Sequence[Any], key: str) -> list[Any]:
    """Elements named by `order` in its order, woven with the others, which keep the server's.

    Where both positions are known to the server the earlier comes first; an element new to it comes as soon as it can.
    """
    wanted = {identity: index for index, identity in reversed(list(enumerate(_identities(order, key))))}
    known = {identity: index for index, identity in reversed(list(enumerate(_identities(server, key))))}
    pairs = list(zip(_identities(merged, key), merged, strict=True))
    chosen = sorted((pair for pair in pairs if pair[0] in wanted), key=lambda pair: wanted[pair[0]])
    others = sorted((pair for pair in pairs if pair[0] not in wanted), key=lambda pair: known.get(pair[0], -1))
    result: list[Any] = []
    left = right = 0
    while left < len(others) and right < len(chosen):
        ours, theirs = known.get(others[left][0]), known.get(chosen[right][0])
        if ours is not None and theirs is not None and ours < theirs:
            result.append(others[left][1])
            left += 1
        else:
            result.append(chosen[right][1])
            right += 1
    return result + [pair[1] for pair in others[left:]] + [pair[1] for pair in chosen[right:]]


def _identities(values: Sequence[Any], key: str) -> list[Any]:
    return [_hashable(_element(each, key)) for each in values]


def _plain_map(value: Mapping[str, Any]) -> dict[str, Any]:
    """A new mapping out of a patch's: without nulls and directives, which mean nothing where there was nothing."""
    if value.get(_PATCH) == "delete":
        return {}
    result: dict[str, Any] = {}
    for key, each in value.items():
        if each is None or key in {_PATCH, _RETAIN} or key.startswith((_DELETE_FROM, _ORDER)):
            continue
        if isinstance(each, dict):
            result[key] = _plain_map(each)
        elif isinstance(each, list):
            result[key] = _plain_list(each)
        else:
            result[key] = each
    return result


def _plain_list(values: Sequence[Any]) -> list[Any]:
    result: list[Any] = []
    for each in values:
        if isinstance(each, dict):
            # An element that only orders a deletion or a replacement is no element.
            if _PATCH not in each:
                result.append(_plain_map(each))
        else:
            result.append(_plain_list(each) if isinstance(each, list) else each)
    return result
