"""Every function that expressions of the API may call, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from keelson.api.cel.functions import Function, takes
from keelson.api.cel.library import authorization, collections, kubernetes, networks, standard, text


def _merged() -> Mapping[str, Function]:
    found: dict[str, Function] = {}
    for library in (standard, text, collections, kubernetes, networks, authorization):
        for function in library.FUNCTIONS:
            # Names such as indexOf are methods of several types; which one is meant is in the operands.
            known = found.get(function.name)
            found[function.name] = function if known is None else _both(known, function)
    return MappingProxyType(found)


def _both(first: Function, second: Function) -> Function:
    heads = {overload.parameters[0] for overload in first.overloads}

    def apply(*operands: object) -> object:
        chosen = first if any(takes(head, operands[0]) for head in heads) else second
        return chosen.apply(*operands)

    def cost(sizes: object) -> int:
        return max(first.cost(sizes), second.cost(sizes))  # type: ignore[arg-type]

    return Function(first.name, (*first.overloads, *second.overloads), apply, cost)


FUNCTIONS: Mapping[str, Function] = _merged()
