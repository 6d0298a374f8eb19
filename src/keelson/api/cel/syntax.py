"""The parts of an expression, and what is said of one that makes no sense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class CelError(Exception):
    """An expression that can't be used. `problems` are (offset in the source, what is wrong)."""

    def __init__(self, source: str, problems: list[tuple[int, str]]) -> None:
        self.problems = problems
        super().__init__("\n".join(_shown(source, offset, text) for offset, text in problems))


def _shown(source: str, offset: int, text: str) -> str:
    """One problem with the line it lies on, as the reference implementation prints it."""
    before = source[:offset]
    line = before.count("\n")
    column = offset - (before.rfind("\n") + 1)
    lines = source.split("\n")
    shown = lines[line] if line < len(lines) else ""
    return f"ERROR: <input>:{line + 1}:{column + 1}: {text}\n | {shown}\n | {'.' * column}^"


@dataclass(slots=True)
class Node:
    """One part. `offset` is where it stands in the source; `type` is what the checker found, for the evaluator."""

    offset: int
    type: Any = field(default=None, init=False, compare=False)


@dataclass(slots=True)
class Literal(Node):
    """A constant."""

    value: Any


@dataclass(slots=True)
class Ident(Node):
    """A variable, or the name of a type."""

    name: str


@dataclass(slots=True)
class Select(Node):
    """`operand.field`; with `test` it is `has(operand.field)`, with `optional` `operand.?field`."""

    operand: Node
    field: str
    test: bool = False
    optional: bool = False


@dataclass(slots=True)
class Call(Node):
    """A function, a method where `target` is given, or an operator by its name such as `_+_`."""

    function: str
    target: Node | None
    arguments: list[Node]
    # Whether the checker left it to run time which overload is meant.
    dynamic: bool = field(default=True, init=False, compare=False)

    @property
    def operands(self) -> list[Node]:
        """Target and arguments."""
        return self.arguments if self.target is None else [self.target, *self.arguments]


@dataclass(slots=True)
class ListOf(Node):
    """`[a, ?b]`; `optional` holds the positions that are left out where they are empty."""

    items: list[Node]
    optional: frozenset[int]


@dataclass(slots=True)
class MapOf(Node):
    """`{k: v, ?k: v}`."""

    entries: list[tuple[Node, Node, bool]]


@dataclass(slots=True)
class Struct(Node):
    """`Name.of.type{field: v, ?field: v}`."""

    name: str
    fields: list[tuple[str, Node, bool]]


@dataclass(slots=True)
class Loop(Node):
    """A macro over a list or map: `kind` is its name; `arguments` are evaluated for each element."""

    kind: str
    range: Node
    variables: tuple[str, ...]
    arguments: list[Node]


@dataclass(slots=True)
class Bind(Node):
    """`cel.bind(name, value, body)`."""

    name: str
    value: Node
    body: Node
