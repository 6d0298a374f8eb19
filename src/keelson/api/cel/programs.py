"""Turns a checked expression into closures, and runs them within a budget.

A closure takes the frame, a dict of variables, and gives the value; what can be decided from types and constants is
decided when the closure is made. Every call and every turn of a loop takes its cost off the meter in the frame, so no
expression runs longer than its budget allows, whatever it says (KEP-2876, "Resource Constraints").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeGuard

from . import checking, functions, parsing, types
from .functions import size
from .library import FUNCTIONS, collections
from .library.standard import index
from .syntax import Bind, Call, Ident, ListOf, Literal, Loop, MapOf, Node, Select, Struct
from .types import Type
from .values import NONE, BudgetError, EvalError, OptionalValue, StructValue, Uint

Frame = dict[str, Any]
Step = Callable[[Frame], Any]
# Under this name, which no variable can have, a frame holds its meter.
_METER = ""
# What one expression may cost (upstream's PerCallLimit).
CALL_BUDGET = 1_000_000
_LIST_COST, _MAP_COST, _STRUCT_COST = 10, 30, 40


class Meter:
    """What may still be spent."""

    __slots__ = ("left",)

    def __init__(self, budget: int) -> None:
        self.left = budget


class Program:
    """An expression that can be run. `type` is what it gives."""

    def __init__(self, source: str, tree: Node, type_: Type) -> None:
        self.source = source
        self.tree = tree
        self.type = type_
        # What runs it in a frame that has a meter already.
        self.step = _compiled(tree)

    def run(self, variables: Mapping[str, Any], *, budget: int = CALL_BUDGET) -> tuple[Any, int]:
        """(value, what it cost). Raises EvalError, and BudgetError where it would cost more than `budget`."""
        meter = Meter(budget)
        try:
            value = self.step({**variables, _METER: meter})
        except RecursionError as error:
            raise EvalError("the expression is nested too deeply") from error
        except EvalError as error:
            error.cost = budget - meter.left
            raise
        return value, budget - meter.left


def compile(  # noqa: A001 - used as programs.compile
    source: str, variables: Mapping[str, Type], *, patches: bool = False
) -> Program:
    """The program of an expression; with `patches` it may make patches of objects. Raises syntax.CelError."""
    tree = parsing.parse(source)
    return Program(source, tree, checking.check(source, tree, variables, patches=patches))


class Composition:
    """Expressions that others read as `variables.<name>`: each is evaluated when it is first read, and once.

    `programs` are they by name, or why one can't be compiled; `variables` are what they may read themselves, to which
    the composition adds itself.
    """

    def __init__(self, programs: Mapping[str, Program | str], variables: Mapping[str, Any]) -> None:
        self._programs = programs
        self._variables = {**variables, "variables": self}
        self._known: dict[str, Any] = {}

    def read(self, name: str, frame: Frame) -> Any:
        """The value of a variable, at the cost of whoever reads it first. Raises EvalError, BudgetError."""
        if name not in self._known:
            self._known[name] = self._value(name, frame)
        value = self._known[name]
        if isinstance(value, EvalError):
            raise value
        return value

    def _value(self, name: str, frame: Frame) -> Any:
        program = self._programs[name]
        if isinstance(program, str):
            return EvalError(f'composited variable "{name}" fails to compile: {program}')
        try:
            return program.step({**self._variables, _METER: frame[_METER]})
        except EvalError as error:
            return EvalError(f'composited variable "{name}" fails to evaluate: {error}')


def _spend(frame: Frame, cost: int) -> None:
    meter = frame[_METER]
    meter.left -= cost
    if meter.left < 0:
        raise BudgetError("operation cancelled: actual cost limit exceeded")


def _compiled(node: Node) -> Step:
    match node:
        case Literal():
            value = node.value
            return lambda _frame: value
        case Ident():
            return _ident(node)
        case Select():
            return _select(node)
        case Call():
            return _call(node)
        case ListOf():
            return _list(node)
        case MapOf():
            return _map(node)
        case Struct():
            return _struct(node)
        case Loop():
            return _loop(node)
        case Bind():
            return _bind(node)
    raise AssertionError(node)


def _ident(node: Ident) -> Step:
    name = node.name
    named = types.NAMED.get(name)

    def step(frame: Frame) -> Any:
        try:
            return frame[name]
        except KeyError:
            if named is not None:
                return named
            raise EvalError(f"no such attribute: {name}") from None

    return step


def _bind(node: Bind) -> Step:
    name, value, body = node.name, _compiled(node.value), _compiled(node.body)
    return lambda frame: body({**frame, name: value(frame)})


def _select(node: Select) -> Step:
    if node.operand.type is None:
        # A name with dots, a type's or a variable's: the checker saw that it is one and went no deeper.
        if node.type.name != "type":
            return _ident(Ident(node.offset, parsing.dotted(node)))
        named = node.type.parameters[0]
        return lambda _frame: named
    operand = _compiled(node.operand)
    kind: Type = node.operand.type
    if kind.name == types.VARIABLES and not node.test:
        name = node.field
        return lambda frame: operand(frame).read(name, frame)
    through = kind.parameters[0] if kind.name == "optional_type" else kind
    field = node.field
    if through.fields is not None:
        known = through.fields.get(field) or through.fields[types.escaped(field)]
        field = known[0]
    # A field that is null is one that is not there, unless it is an entry of a map.
    absent_null = through.fields is not None
    if node.test:
        return _test(operand, field, absent_null=absent_null)
    if node.optional or kind.name == "optional_type":
        return _optional_select(operand, field, absent_null=absent_null)

    def step(frame: Frame) -> Any:
        found = operand(frame)
        frame[_METER].left -= 1
        if isinstance(found, dict):
            value = found.get(field)
            if value is not None or (field in found and not absent_null):
                return value
        elif isinstance(found, OptionalValue):
            return OptionalValue(found.value[field]) if found.present and field in found.value else NONE
        # What is no map has no keys.
        raise EvalError(f"no such key: {field}")

    return step


def _test(operand: Step, field: str, *, absent_null: bool) -> Step:
    def step(frame: Frame) -> bool:
        found = operand(frame)
        frame[_METER].left -= 1
        if isinstance(found, OptionalValue):
            found = found.value if found.present else {}
        return isinstance(found, dict) and field in found and not (absent_null and found[field] is None)

    return step


def _optional_select(operand: Step, field: str, *, absent_null: bool) -> Step:
    def step(frame: Frame) -> OptionalValue:
        found = operand(frame)
        frame[_METER].left -= 1
        if isinstance(found, OptionalValue):
            if not found.present:
                return NONE
            found = found.value
        if not isinstance(found, dict) or field not in found or (absent_null and found[field] is None):
            return NONE
        return OptionalValue(found[field])

    return step


# --- calls


def _truth(step: Step, frame: Frame) -> bool:
    value = step(frame)
    if type(value) is not bool:
        raise EvalError("no such overload")
    return value


def _logic(node: Call, decisive: bool) -> Step:
    first, second = (_compiled(operand) for operand in node.arguments)

    def step(frame: Frame) -> bool:
        try:
            if _truth(first, frame) is decisive:
                return decisive
        except EvalError:
            # What one side says may settle it without the other.
            if _truth(second, frame) is decisive:
                return decisive
            raise
        return _truth(second, frame)

    return step


def _call(node: Call) -> Step:
    match node.function:
        case "_&&_":
            return _logic(node, decisive=False)
        case "_||_":
            return _logic(node, decisive=True)
        case "_?_:_":
            condition, chosen, other = (_compiled(operand) for operand in node.arguments)
            return lambda frame: chosen(frame) if _truth(condition, frame) else other(frame)
        case "_[_]" if node.operands[0].type.name != "optional_type":
            return _index(node)
    function = FUNCTIONS[node.function]
    operands = [_compiled(operand) for operand in node.operands]
    apply, cost = function.apply, function.cost
    if node.function == "orValue":
        return _or_value(*operands)
    if node.function == "sum":
        # What the sum of nothing is depends on what there is nothing of.
        zero = _ZEROS.get(node.type.name, 0)
        return lambda frame: _summed(operands[0](frame), frame, zero)
    constant = cost is functions.one
    if node.dynamic and not function.wary:
        method = node.target is not None
        overloads = [
            o.parameters for o in function.overloads if o.method is method and len(o.parameters) == len(operands)
        ]

        def guarded(frame: Frame) -> Any:
            found = [operand(frame) for operand in operands]
            _spend(frame, 1 if constant else cost([size(value) for value in found]))
            for parameters in overloads:
                if all(functions.takes(wanted, value) for wanted, value in zip(parameters, found, strict=True)):
                    return apply(*found)
            raise EvalError("no such overload")

        return guarded
    if len(operands) == 2:
        first, second = operands

        def binary(frame: Frame) -> Any:
            left, right = first(frame), second(frame)
            _spend(frame, 1 if constant else cost((size(left), size(right))))
            return apply(left, right)

        return binary

    def step(frame: Frame) -> Any:
        found = [operand(frame) for operand in operands]
        _spend(frame, 1 if constant else cost([size(value) for value in found]))
        return apply(*found)

    return step


_ZEROS: dict[str, Any] = {"double": 0.0, "uint": Uint(0), "google.protobuf.Duration": timedelta(0)}


def _summed(items: Any, frame: Frame, zero: Any) -> Any:
    if not isinstance(items, list):
        raise EvalError("no such overload")
    _spend(frame, 1 + len(items))
    return FUNCTIONS["sum"].apply(items) if items else zero


def _index(node: Call) -> Step:
    operand, key = (_compiled(each) for each in node.operands)

    def step(frame: Frame) -> Any:
        found = operand(frame)
        frame[_METER].left -= 1
        return index(found, key(frame))

    return step


def _or_value(operand: Step, other: Step) -> Step:
    def step(frame: Frame) -> Any:
        found = operand(frame)
        _spend(frame, 1)
        if not isinstance(found, OptionalValue):
            raise EvalError("no such overload")
        return found.value if found.present else other(frame)

    return step


# --- lists, maps, loops


def _is_present(entry: Any) -> TypeGuard[OptionalValue]:
    """Whether an optional entry is to be there. Raises EvalError where its value is no optional."""
    if not isinstance(entry, OptionalValue):
        raise EvalError("no such overload")
    return entry.present


def _list(node: ListOf) -> Step:
    items = [_compiled(item) for item in node.items]
    optional = node.optional

    def step(frame: Frame) -> list[Any]:
        _spend(frame, _LIST_COST)
        if not optional:
            return [item(frame) for item in items]
        made: list[Any] = []
        for position, item in enumerate(items):
            value = item(frame)
            if position not in optional:
                made.append(value)
            elif _is_present(value):
                made.append(value.value)
        return made

    return step


def _map(node: MapOf) -> Step:
    entries = [(_compiled(key), _compiled(value), optional) for key, value, optional in node.entries]

    def step(frame: Frame) -> dict[Any, Any]:
        _spend(frame, _MAP_COST)
        made: dict[Any, Any] = {}
        for key, value, optional in entries:
            name, found = key(frame), value(frame)
            if isinstance(name, list | dict | float) or name is None:
                raise EvalError("unsupported key type")
            if optional:
                if not _is_present(found):
                    continue
                found = found.value
            # Of keys that repeat the last one counts, as upstream's evaluator has it.
            made[name] = found
        return made

    return step


def _struct(node: Struct) -> Step:
    fields = [(name, _compiled(value), optional) for name, value, optional in node.fields]
    kind = node.name

    def step(frame: Frame) -> StructValue:
        _spend(frame, _STRUCT_COST)
        made = StructValue(kind)
        for name, value, optional in fields:
            found = value(frame)
            if optional:
                if not _is_present(found):
                    continue
                found = found.value
            made[name] = found
        return made

    return step


def _turns(found: Any, variables: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """What the variables of a loop are, turn by turn."""
    if isinstance(found, dict):
        return iter(found.items()) if len(variables) == 2 else ((key,) for key in found)
    if isinstance(found, list):
        return enumerate(found) if len(variables) == 2 else ((item,) for item in found)
    raise EvalError("no such overload")


def _loop(node: Loop) -> Step:
    over = _compiled(node.range)
    body = [_compiled(argument) for argument in node.arguments]
    variables = node.variables
    if node.kind in ("optMap", "optFlatMap"):
        return _optional_loop(node.kind, over, variables[0], body[0])
    run = _LOOPS[node.kind]

    def step(frame: Frame) -> Any:
        found = over(frame)
        inner = dict(frame)
        meter = frame[_METER]

        def turns() -> Iterator[tuple[Any, ...]]:
            for turn in _turns(found, variables):
                # As upstream counts: the condition, the step, and the reading of the accumulator.
                meter.left -= 3
                if meter.left < 0:
                    raise BudgetError("operation cancelled: actual cost limit exceeded")
                inner.update(zip(variables, turn, strict=True))
                yield turn

        return run(turns(), inner, body)

    return step


def _all(turns: Iterator[Any], frame: Frame, body: list[Step]) -> bool:
    return _decided(turns, frame, body[0], decisive=False)


def _exists(turns: Iterator[Any], frame: Frame, body: list[Step]) -> bool:
    return _decided(turns, frame, body[0], decisive=True)


def _decided(turns: Iterator[Any], frame: Frame, body: Step, *, decisive: bool) -> bool:
    """Whether any turn is decisive; an error counts only where none is."""
    trouble: EvalError | None = None
    for _ in turns:
        try:
            if _truth(body, frame) is decisive:
                return decisive
        except EvalError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return not decisive


def _exists_one(turns: Iterator[Any], frame: Frame, body: list[Step]) -> bool:
    return sum(_truth(body[0], frame) for _ in turns) == 1


def _filter(turns: Iterator[Any], frame: Frame, body: list[Step]) -> list[Any]:
    return [turn[0] for turn in turns if _truth(body[0], frame)]


def _mapped(turns: Iterator[Any], frame: Frame, body: list[Step]) -> list[Any]:
    if len(body) == 1:
        return [body[0](frame) for _ in turns]
    return [body[1](frame) for _ in turns if _truth(body[0], frame)]


def _mapped_keys(turns: Iterator[Any], frame: Frame, body: list[Step]) -> dict[Any, Any]:
    return {turn[0]: body[-1](frame) for turn in turns if len(body) == 1 or _truth(body[0], frame)}


def _mapped_entries(turns: Iterator[Any], frame: Frame, body: list[Step]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for _ in turns:
        if len(body) == 1 or _truth(body[0], frame):
            entry = body[-1](frame)
            if not isinstance(entry, dict):
                raise EvalError("no such overload")
            for key, value in entry.items():
                if key in made:
                    raise EvalError(f"insert failed: key {key} already exists")
                made[key] = value
    return made


def _sorted_by(turns: Iterator[Any], frame: Frame, body: list[Step]) -> list[Any]:
    rows = [(body[0](frame), turn[0]) for turn in turns]
    return collections.ordered(rows)


_LOOPS: dict[str, Callable[[Iterator[Any], Frame, list[Step]], Any]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _mapped,
    "transformList": _mapped,
    "transformMap": _mapped_keys,
    "transformMapEntry": _mapped_entries,
    "sortBy": _sorted_by,
}


def _optional_loop(kind: str, over: Step, name: str, body: Step) -> Step:
    def step(frame: Frame) -> OptionalValue:
        found = over(frame)
        _spend(frame, 1)
        if not isinstance(found, OptionalValue):
            raise EvalError("no such overload")
        if not found.present:
            return NONE
        value = body({**frame, name: found.value})
        if kind == "optMap":
            return OptionalValue(value)
        if not isinstance(value, OptionalValue):
            raise EvalError("no such overload")
        return value

    return step
