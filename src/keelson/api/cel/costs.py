"""What an expression may cost at most, known before it ever runs (KEP-2876, "Resource Constraints").

Sizes come from types: a list with maxItems is as long as that, one without is as long as a request can make it. The
units are those of the meter that stops a running expression.
"""

from __future__ import annotations

from . import functions
from .functions import size
from .library import FUNCTIONS
from .syntax import Bind, Call, ListOf, Literal, Loop, MapOf, Node, Select, Struct
from .types import Type

# What one rule, and all rules of a schema together, may cost by this estimate (upstream's limits).
RULE_LIMIT = 10_000_000
SCHEMA_LIMIT = 100_000_000
_SIZED = frozenset({"string", "bytes", "list", "map", "dyn"})
_TURN = 3


def _size(kind: Type | None) -> int:
    return kind.limit if kind is not None and kind.name in _SIZED else 1


def most(node: Node) -> int:
    """The highest cost of a checked expression."""
    match node:
        case Literal():
            return 0
        case Select():
            return 1 + (most(node.operand) if node.operand.type is not None else 0)
        case Call():
            return _call(node)
        case ListOf():
            return 10 + sum(map(most, node.items))
        case MapOf():
            return 30 + sum(most(key) + most(value) for key, value, _ in node.entries)
        case Struct():
            return 40 + sum(most(value) for _, value, _ in node.fields)
        case Loop():
            body = sum(map(most, node.arguments))
            if node.kind in ("optMap", "optFlatMap"):
                return most(node.range) + 1 + body
            return most(node.range) + _size(node.range.type) * (_TURN + body)
        case Bind():
            return most(node.value) + most(node.body)
    return 1


def _call(node: Call) -> int:
    if node.function == "_?_:_":
        condition, chosen, other = map(most, node.arguments)
        return condition + max(chosen, other)
    operands = node.operands
    below = sum(map(most, operands))
    function = FUNCTIONS.get(node.function)
    if function is None or function.cost is functions.one:
        return below + 1
    sizes = [size(operand.value) if isinstance(operand, Literal) else _size(operand.type) for operand in operands]
    return below + function.cost(sizes)


def excess(cost: int, limit: int) -> str:
    """How often a cost is the limit, as messages tell it."""
    factor = cost / limit
    if factor > 100:
        return "more than 100x"
    # Nobody is told that something exceeds its budget by 1.0.
    return f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
