"""What a function is: which types it takes and gives, what it does, and what a call costs.

Declarations are written as text, "list(A), A -> bool", so that a library reads like its documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any, NamedTuple
from urllib.parse import SplitResult

from . import types
from .types import Type
from .values import OptionalValue, Quantity, Semver, Uint

# From the sizes of the operands (bytes of text, elements of lists and maps, 1 for all else) to units of cost.
Cost = Callable[[Sequence[int]], int]


class Overload(NamedTuple):
    """One way to call a function; a method's target is the first parameter."""

    method: bool
    parameters: tuple[Type, ...]
    result: Type


class Function(NamedTuple):
    """All ways to call one name. `apply` gets target and arguments; it raises EvalError.

    `wary` functions refuse operands of wrong types themselves; all others are shown only what a declaration allows.
    """

    name: str
    overloads: tuple[Overload, ...]
    apply: Callable[..., Any]
    cost: Cost
    wary: bool = False


def one(_sizes: Sequence[int]) -> int:
    """The cost of what does not look at its operands' size."""
    return 1


def scan(sizes: Sequence[int]) -> int:
    """The cost of reading the first operand once."""
    return 1 + sizes[0] // 10


def scan_all(sizes: Sequence[int]) -> int:
    """The cost of reading every operand once."""
    return 1 + sum(sizes) // 10


def shorter(sizes: Sequence[int]) -> int:
    """The cost of comparing two values, which ends with the shorter one."""
    return 1 + min(sizes) // 10


def search(sizes: Sequence[int]) -> int:
    """The cost of looking for the second operand in the first."""
    return 1 + (sizes[0] + 9) // 10 * ((sizes[1] + 9) // 10)


def match(sizes: Sequence[int]) -> int:
    """The cost of a regular expression (second operand) on a text (first)."""
    return 1 + (sizes[0] + 10) // 10 * ((sizes[1] + 3) // 4)


def each(sizes: Sequence[int]) -> int:
    """The cost of looking at every element of the first operand."""
    return 1 + sizes[0]


def pairs(sizes: Sequence[int]) -> int:
    """The cost of comparing every element of one operand with every element of the other."""
    return 1 + sizes[0] * sizes[1]


def pairs_of_one(sizes: Sequence[int]) -> int:
    """The cost of comparing every element of the first operand with every other."""
    return 1 + sizes[0] * sizes[0]


_NAMES = {
    **types.NAMED,
    "timestamp": types.TIMESTAMP,
    "duration": types.DURATION,
    "quantity": types.QUANTITY,
    "semver": types.SEMVER,
    "url": types.URL,
    "ip": types.IP,
    "cidr": types.CIDR,
    "null": types.NULL,
    "format": Type("kubernetes.NamedFormat"),
    "authorizer": types.AUTHORIZER,
    "pathcheck": types.PATH_CHECK,
    "groupcheck": types.GROUP_CHECK,
    "resourcecheck": types.RESOURCE_CHECK,
    "decision": types.DECISION,
    "A": types.A,
    "B": types.B,
}
_TYPE = re.compile(r"\s*([A-Za-z_]+)\s*(\()?")


def _read(text: str, position: int) -> tuple[Type, int]:
    match_ = _TYPE.match(text, position)
    assert match_ is not None, text
    if not match_[2]:
        return _NAMES[match_[1]], match_.end()
    parameters: list[Type] = []
    position = match_.end() - 1
    while text[position] != ")":
        parameter, position = _read(text, position + 1)
        parameters.append(parameter)
    name = "optional_type" if match_[1] == "optional" else match_[1]
    return Type(name, *parameters), position + 1


def overload(text: str, *, method: bool) -> Overload:
    """The overload that a declaration such as "string, int -> string" states."""
    taken, _, result = text.partition("->")
    parameters: list[Type] = []
    position = 0
    while taken.strip() and position < len(taken.rstrip()):
        parameter, position = _read(taken, position)
        parameters.append(parameter)
        position += 1
    return Overload(method, tuple(parameters), _read(result, 0)[0])


def function(
    name: str, declarations: str, apply: Callable[..., Any], cost: Cost = one, *, wary: bool = False
) -> Function:
    """A function whose declarations are separated by ";"; a leading "." makes one a method."""
    made = []
    for text in declarations.split(";"):
        plain = text.strip()
        made.append(overload(plain.removeprefix("."), method=plain.startswith(".")))
    return Function(name, tuple(made), apply, cost, wary)


_PYTHON: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "uint": (Uint,),
    "double": (float,),
    "bool": (bool,),
    "string": (str,),
    "bytes": (bytes,),
    "null_type": (type(None),),
    "google.protobuf.Timestamp": (datetime,),
    "google.protobuf.Duration": (timedelta,),
    "type": (Type,),
    "optional_type": (OptionalValue,),
    "kubernetes.Quantity": (Quantity,),
    "kubernetes.Semver": (Semver,),
    "kubernetes.URL": (SplitResult,),
    "net.IP": (IPv4Address, IPv6Address),
    "net.CIDR": (IPv4Interface, IPv6Interface),
}


def takes(wanted: Type, value: Any) -> bool:
    """Whether a value is of a declared type, as far as its outside shows."""
    if wanted.is_variable or wanted.name == "dyn":
        return True
    if wanted.name == "list":
        return isinstance(value, list)
    if wanted.name == "map" or wanted.fields is not None:
        return isinstance(value, dict)
    return type(value) in _PYTHON.get(wanted.name, ()) or (
        wanted.name not in _PYTHON and getattr(value, "type_name", "") == wanted.name
    )


def size(value: Any) -> int:
    """What a cost counts of a value."""
    kind = type(value)
    if kind is str or kind is bytes or kind is dict or isinstance(value, list):
        return len(value)
    return 1


def type_of(value: Any) -> Type:
    """The type that a value has at run time."""
    if isinstance(value, list):
        return types.NAMED["list"]
    if isinstance(value, dict):
        return types.NAMED["map"]
    for name, kinds in _PYTHON.items():
        if type(value) in kinds:
            return types.NAMED.get(name) or Type(name)
    return types.DYN
