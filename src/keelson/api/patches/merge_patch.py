"""JSON Merge Patch (RFC 7386): a mapping laid over the object, null removes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelson.api import errors


def apply(document: Mapping[str, Any], patch: Any) -> dict[str, Any]:
    """The object with the patch merged in; untouched parts are shared with `document`.

    Raises StatusError 400 where the patch is no mapping: it would replace the object by something that is none.
    """
    if not isinstance(patch, dict):
        raise errors.bad_request("error decoding patch: a merge patch is an object")
    return _merge(document, patch)


def _merge(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            current = result.get(key)
            # A mapping that is new is merged into nothing all the same: that drops its nulls.
            result[key] = _merge(current if isinstance(current, dict) else {}, value)
        else:
            result[key] = value
    return result
