"""YAML bodies, read as Go's library reads them and no larger than they look.

PyYAML's resolver knows dates and base-60 numbers, which Kubernetes clients mean as text, and misses numbers such as
"1e3" and "0o17". Aliases are copied out, because later steps change values in place; their number is bounded by the
size of what they stand for ("billion laughs").
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

# Nodes of the document with every alias written out. A 3 MiB body without aliases can't have more.
MAX_NODES = 400_000
MAX_DEPTH = 200

_PLAIN = "!plain"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)|[-+]?0o?[0-7_]+|[-+]?0x[0-9a-fA-F_]+|[-+]?0b[01_]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_TRUE = frozenset(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))


class DocumentError(ValueError):
    """A body that is no acceptable YAML document."""


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits, 8 if len(digits) > 1 and digits.startswith("0") else 10)


_TAGGED: dict[str, Any] = {
    "tag:yaml.org,2002:int": _integer,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:bool": lambda text: text in _TRUE,
    "tag:yaml.org,2002:null": lambda _: None,
}


def _scalar(node: yaml.ScalarNode) -> Any:
    text = node.value
    if node.tag != _PLAIN:
        # Quoted, block, or of a tag of its own: only the core schema's tags say that it isn't text.
        return _TAGGED.get(node.tag, str)(text)
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return _integer(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _value(node: yaml.ScalarNode) -> Any:
    try:
        return _scalar(node)
    except ValueError as error:
        name = node.tag.removeprefix("tag:yaml.org,2002:")
        raise DocumentError(
            f"line {node.start_mark.line + 1}: cannot decode {node.value[:60]!r} as a !!{name}"
        ) from error


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise DocumentError(f"line {node.start_mark.line + 1}: a mapping's key must be a scalar")
    value = _value(node)
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
    return str(value)


class _Loader(yaml.CSafeLoader):
    """Composes nodes only: values are made here, tags of foreign types are never constructed."""

    # Marks what is neither quoted nor tagged, for `_scalar` to resolve.
    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}  # noqa: RUF012 - PyYAML's own protocol


def _check_depth(body: bytes) -> None:
    """Refuse what is nested too deeply before it is composed.

    PyYAML composes in C, by recursion and without a limit: it would take the process with it.
    """
    # Every level takes one of these characters at least.
    if sum(map(body.count, (b"[", b"{", b":", b"-", b"?"))) <= MAX_DEPTH:
        return
    depth = 0
    loader = _Loader(body)
    try:
        while (event := loader.get_event()) is not None:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise DocumentError("exceeded max depth")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    finally:
        loader.dispose()


class _Builder:
    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self._nodes = 0

    def build(self, node: yaml.Node, path: str, depth: int = 0) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise DocumentError("document contains excessive aliasing")
        if depth > MAX_DEPTH:
            raise DocumentError("exceeded max depth")
        if isinstance(node, yaml.ScalarNode):
            return _value(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, f"{path}[{index}]", depth + 1) for index, child in enumerate(node.value)]
        return self._mapping(node, path, depth)

    def _mapping(self, node: yaml.Node, path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, child in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value == "<<" and key_node.tag == _PLAIN:
                merged = self._merge(child, path, depth) | merged
                continue
            key = _key(key_node)
            where = f"{path}.{key}" if path else key
            if key in result:
                self.duplicates.append(f"line {key_node.start_mark.line + 1}: key {json.dumps(key)} already set in map")
            result[key] = self.build(child, where, depth + 1)
        return merged | result

    def _merge(self, node: yaml.Node, path: str, depth: int) -> dict[str, Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise DocumentError(f"line {node.start_mark.line + 1}: map merge requires map or sequence of maps")
            result = self._mapping(source, path, depth + 1) | result
        return result


def load_yaml(body: bytes) -> tuple[Any, list[str]]:
    """The value of the one document in the body, and a sentence for each key that occurs twice in a mapping.

    Raises DocumentError: malformed, several documents, too deep, or larger than its aliases may make it.
    """
    try:
        _check_depth(body)
        loader = _Loader(body)
        try:
            node = loader.get_single_node()
            builder = _Builder()
            value = None if node is None else builder.build(node, "")
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise DocumentError(" ".join(str(error).split())) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"unreadable: {error}") from error
    return value, builder.duplicates
