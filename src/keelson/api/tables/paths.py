"""The JSON paths of CRD printer columns and scale subresources: ".spec.a[0].b", with quoted keys and simple filters.

Source: apiextensions.k8s.io/v1 CustomResourceColumnDefinition.jsonPath, and the JSONPath support of kubectl.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z0-9_$-]+(?:\\\.[A-Za-z0-9_$/-]+)*)
      | \.?\[\s*(?P<quote>['"])(?P<quoted>(?:(?!(?P=quote)).)*)(?P=quote)\s*\]
      | \[\s*(?P<index>-?\d+)\s*\]
      | (?P<all>\[\s*\*\s*\] | \.\*)
      | \[\?\(\s*@\.(?P<field>[\w.-]+)\s*(?P<operator>==|!=)\s*(?P<value>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\]""",
    re.VERBOSE,
)
Step = Callable[[list[Any]], list[Any]]


class PathError(ValueError):
    """Text that is no JSON path of the kind that columns may have."""


def _key(name: str) -> Step:
    return lambda found: [value[name] for value in found if isinstance(value, dict) and name in value]


def _item(index: int) -> Step:
    return lambda found: [v[index] for v in found if isinstance(v, list) and -len(v) <= index < len(v)]


def _all(found: list[Any]) -> list[Any]:
    return [
        child
        for value in found
        if isinstance(value, dict | list)
        for child in (value.values() if isinstance(value, dict) else value)
    ]


def _filter(field: str, operator: str, wanted: str) -> Step:
    keys = field.split(".")
    quoted = wanted[0] in "\"'"

    def matches(value: Any) -> bool:
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return False
            value = value[key]
        shown = {True: "true", False: "false"}.get(value, str(value)) if not quoted else value
        return bool((shown == wanted.strip("\"'")) == (operator == "=="))

    return lambda found: [item for value in found if isinstance(value, list) for item in value if matches(item)]


@lru_cache(maxsize=512)
def compile_path(path: str) -> Callable[[Any], list[Any]]:
    """A function that finds all values at the path; PathError where the path can't be read."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if text and text[0] not in ".[":
        raise PathError(f"path {path!r} must start with a dot")
    steps: list[Step] = []
    position = 0
    while position < len(text) and text[position:] != ".":
        found = _STEP.match(text, position)
        if found is None:
            raise PathError(f"path {path!r} can't be read from {text[position:]!r} on")
        position = found.end()
        if found["name"] is not None:
            steps.append(_key(found["name"].replace("\\.", ".")))
        elif found["quoted"] is not None:
            steps.append(_key(found["quoted"]))
        elif found["index"] is not None:
            steps.append(_item(int(found["index"])))
        elif found["all"] is not None:
            steps.append(_all)
        else:
            steps.append(_filter(found["field"], found["operator"], found["value"]))

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = step(found)
        return found

    return find
