"""When two parts of an object mean the same, and how a part is kept as it was."""

from __future__ import annotations

from typing import Any

import orjson

from keelson.api.meta import Object


def _semantic(value: Any) -> Any:
    """The value without empty lists, which Go does not tell from absent ones."""
    if isinstance(value, dict):
        return {key: _semantic(child) for key, child in value.items() if child is not None and child != []}
    if isinstance(value, list):
        return [_semantic(child) for child in value]
    return value


def same(left: Any, right: Any) -> bool:
    """Whether two values mean the same to the API: absent and empty lists are equal (apiequality.Semantic)."""
    return bool(left == right) or _semantic(left) == _semantic(right)


def identical(left: Any, right: Any) -> bool:
    """Whether two JSON values are one text, but for the order of keys: 1, 1.0 and true are three values."""
    return left is right or bool(left == right and _text(left) == _text(right))


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def keep(new: Object, old: Object, *fields: str) -> None:
    """Gives `new` these fields as `old` has them, absence included."""
    for field in fields:
        if field in old:
            new[field] = old[field]
        else:
            new.pop(field, None)
