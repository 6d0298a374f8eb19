"""JSON Patch (RFC 6902) with the limits that keep one request from costing more than its size.

The document is copied along the paths that change, so that a patch of one field costs that path and not the object.
Negative array indices count from the end, as upstream's implementation lets them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from keelson.api import errors

MAX_OPERATIONS = 10_000
# Bytes that all `copy` operations of one patch may add, and nesting that a patched document may have.
MAX_COPIED = 3 * 1024 * 1024
MAX_DEPTH = 200

_INDEX = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)
_ABSENT = object()


def apply(document: Any, operations: Any) -> Any:
    """The document with the operations applied, all or none.

    Raises StatusError: 400 where the patch is not an array of operations, 413 above MAX_OPERATIONS, 422 where an
    operation does not apply to this document.
    """
    if operations is None:
        # Go's decoder reads null as an empty list.
        return document
    if not isinstance(operations, list):
        what = f"json: cannot unmarshal {_described(operations)} into Go value of type []handlers.jsonPatchOp"
        raise errors.bad_request(f"error decoding patch: {what}")
    if len(operations) > MAX_OPERATIONS:
        raise errors.entity_too_large(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    run = _Run(document)
    for operation in operations:
        run.step(operation)
    _check_depth(run.root)
    return run.root


class UnequalError(errors.StatusError):
    """A `test` operation found another value: the patch is in order, and not for this document."""


def _refused(why: str, kind: type[errors.StatusError] = errors.StatusError) -> errors.StatusError:
    """As upstream's, which keeps the reason to itself; here it is a note on the error."""
    error = kind(422, "Invalid", "the server rejected our request due to an error in our request", {})
    error.add_note(why)
    return error


def _described(value: Any) -> str:
    """What Go's decoder calls a JSON value."""
    match value:
        case dict():
            return "object"
        case str():
            return "string"
        case bool():
            return "bool"
    return "number"


def _tokens(pointer: Any, field: str) -> list[str]:
    """The reference tokens of a JSON pointer (RFC 6901)."""
    if not isinstance(pointer, str):
        raise errors.bad_request(f"error decoding patch: an operation's {field} must be a string")
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise _refused(f'{field} "{_shown(pointer)}" is no JSON pointer: it must be empty or start with "/"')
    tokens = pointer.split("/")[1:]
    if len(tokens) > MAX_DEPTH:
        raise _refused(f"{field} is nested deeper than {MAX_DEPTH} levels")
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens] if "~" in pointer else tokens


def _shown(text: str) -> str:
    return text if len(text) <= 128 else text[:128] + "…"


def _index(token: str, size: int) -> int | None:
    """The position that a token names among `size` ones, or None."""
    if not _INDEX.fullmatch(token):
        return None
    index = int(token)
    if index < 0:
        index += size
    return index if 0 <= index < size else None


class _Run:
    """One application. `_owned` are the containers that this run made and may therefore change.

    They are kept alive by the mapping, or an identity could be reused by a container that is not ours.
    """

    def __init__(self, document: Any) -> None:
        self.root = document
        self._owned: dict[int, Any] = {}
        self._copied = 0

    def step(self, operation: Any) -> None:
        if not isinstance(operation, dict):
            raise errors.bad_request("error decoding patch: an operation must be an object")
        name = operation.get("op")
        path = _tokens(operation.get("path"), "path")
        if name in {"add", "replace", "test"}:
            if "value" not in operation:
                if name == "test":
                    # Upstream reads an absent value as null here.
                    self._test(path, None, operation["path"])
                    return
                raise _refused(f"{name} operation does not apply: it has no value")
            value = operation["value"]
            if name == "add":
                self._add(path, value, "add")
            elif name == "replace":
                self._replace(path, value)
            else:
                self._test(path, value, operation["path"])
        elif name == "remove":
            self._remove(path, "remove")
        elif name == "move":
            source = _tokens(operation.get("from"), "from")
            if path[: len(source)] == source and len(path) > len(source):
                raise _refused("move operation does not apply: a value can't be moved into itself")
            value = self._get(source)
            if value is _ABSENT:
                raise _refused(f"move operation does not apply: from path {_shown(operation['from'])}: missing value")
            if path != source:
                self._remove(source, "move")
                self._add(path, value, "move")
        elif name == "copy":
            source = _tokens(operation.get("from"), "from")
            value = self._get(source)
            if value is _ABSENT:
                raise _refused(f"copy operation does not apply: from path {_shown(operation['from'])}: missing value")
            self._add(path, self._duplicate(value), "copy")
        else:
            raise _refused(f"Unexpected kind: {_shown(str(name))}")

    def _duplicate(self, value: Any) -> Any:
        """A copy that shares nothing, charged against the allowance."""
        try:
            text = orjson.dumps(value)
        except orjson.JSONEncodeError as error:
            raise _refused(f"copy operation does not apply: nested deeper than {MAX_DEPTH} levels") from error
        self._copied += len(text)
        if self._copied > MAX_COPIED:
            raise _refused(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied}, "
                f"exceeding the limit {MAX_COPIED}"
            )
        return orjson.loads(text)

    def _get(self, path: Sequence[str]) -> Any:
        found = self.root
        for token in path:
            if isinstance(found, dict):
                found = found.get(token, _ABSENT)
            elif isinstance(found, list):
                index = _index(token, len(found))
                found = _ABSENT if index is None else found[index]
            else:
                return _ABSENT
            if found is _ABSENT:
                return _ABSENT
        return found

    def _own(self, container: Any) -> Any:
        if id(container) in self._owned:
            return container
        fresh = container.copy()
        self._owned[id(fresh)] = fresh
        return fresh

    def _parent(self, path: Sequence[str], action: str) -> Any:
        """The container that holds the path's last token, made ours together with all above it."""
        if not isinstance(self.root, (dict, list)):
            raise _refused(f"{action} operation does not apply: doc is missing path: /{_shown('/'.join(path))}")
        self.root = here = self._own(self.root)
        for token in path[:-1]:
            key: Any = token if isinstance(here, dict) else _index(token, len(here))
            inner = None if key is None or (isinstance(here, dict) and key not in here) else here[key]
            if not isinstance(inner, (dict, list)):
                shown = _shown("/".join(path))
                raise _refused(f"{action} operation does not apply: doc is missing path: /{shown}: missing value")
            inner = here[key] = self._own(inner)
            here = inner
        return here

    def _add(self, path: Sequence[str], value: Any, action: str) -> None:
        if not path:
            self.root = value
            return
        parent, token = self._parent(path, action), path[-1]
        if isinstance(parent, dict):
            parent[token] = value
        elif token == "-":  # noqa: S105 - a pointer's token
            parent.append(value)
        else:
            index = _index(token, len(parent) + 1)
            if index is None:
                raise _refused(f"{action} operation does not apply: Unable to access invalid index: {_shown(token)}")
            parent.insert(index, value)

    def _remove(self, path: Sequence[str], action: str) -> None:
        if not path:
            raise _refused(f"{action} operation does not apply: the whole document can't be removed")
        parent, token = self._parent(path, action), path[-1]
        if isinstance(parent, dict):
            if token not in parent:
                raise _refused(f"{action} operation does not apply: Unable to remove nonexistent key: {_shown(token)}")
            del parent[token]
        else:
            index = _index(token, len(parent))
            if index is None:
                raise _refused(f"{action} operation does not apply: Unable to access invalid index: {_shown(token)}")
            del parent[index]

    def _replace(self, path: Sequence[str], value: Any) -> None:
        if not path:
            self.root = value
            return
        parent, token = self._parent(path, "replace"), path[-1]
        # Upstream's library puts what it is to replace where nothing is: fields that objects leave out, as zeros and
        # empty lists, are there for those who patch. RFC 6902, 4.3 would refuse it.
        key: Any = token if isinstance(parent, dict) else _index(token, len(parent))
        if key is None:
            shown = _shown("/".join(path))
            raise _refused(f"replace operation does not apply: doc is missing key: /{shown}: missing value")
        parent[key] = value

    def _test(self, path: Sequence[str], value: Any, shown: str) -> None:
        found = self._get(path)
        # An absent value passes a test for null, as it does upstream.
        if found is _ABSENT:
            found = None
        if not same(found, value):
            raise _refused(f"testing path {_shown(shown)} failed: test failed", UnequalError)


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values (RFC 6902, section 4.6): true is not 1, and 1 is 1.0."""
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(same(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += [child for child in each.values() if isinstance(child, (dict, list))]
            elif isinstance(each, list):
                below += [child for child in each if isinstance(child, (dict, list))]
        if not below:
            return
        level = below
    raise _refused(f"the patched document is nested deeper than {MAX_DEPTH} levels")
