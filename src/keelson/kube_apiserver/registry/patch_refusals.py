"""What a patch is refused with that leaves something that is no object of its kind: upstream's words for it.

Upstream reads what a JSON or merge patch left from its text, and restores what a strategic merge patch left from maps.
The two have different complaints, and show different things: the text, or the patch as Go prints a map.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from keelson.api import errors
from keelson.api.validation import causes

_HANDLED = re.compile(r'^\w+ in version "[^"]*" cannot be handled as a \w+: ')
_MISMATCH = re.compile(r"^json: cannot unmarshal (\w+) into Go (?:struct field \S+|value) of type (\S+)$")
_KINDS = {"object": "map", "array": "slice", "number": "int64"}


def undecodable(strategic: bool, patch: Any, patched: Any, error: errors.StatusError) -> errors.StatusError:
    """422 for a patch that leaves `patched`, which the decoder refused with `error` (400)."""
    detail = _HANDLED.sub("", str(error))
    if not strategic:
        shown = orjson.dumps(patched, option=orjson.OPT_SORT_KEYS).decode()
        return errors.invalid("", "", [causes.invalid("patch", shown, detail)])
    found = _MISMATCH.match(detail)
    if found is not None:
        detail = _unrestorable(found[1], found[2])
    return errors.invalid("", "", [causes.invalid("patch", _printed(patch), detail)])


def _unrestorable(source: str, target: str) -> str:
    kind = _KINDS.get(source, source)
    if target.startswith("[]"):
        return f"cannot restore slice from {kind}"
    if target.startswith("map["):
        return f"cannot restore map from {kind}"
    if "." in target:
        return f"cannot restore struct from: {kind}"
    return f"unrecognized type: {target}"


def _printed(value: Any) -> str:
    """A JSON value as Go's %+v prints it."""
    match value:
        case dict():
            return "map[" + " ".join(f"{key}:{_printed(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(_printed(item) for item in value) + "]"
        case bool():
            return "true" if value else "false"
        case None:
            return "<nil>"
    return str(value)
