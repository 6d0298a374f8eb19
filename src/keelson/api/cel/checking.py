"""Finds the type of every part of an expression, and what can't be (CEL specification, "Gradual Type Checking")."""

from __future__ import annotations

from collections.abc import Mapping

from keelson.api import regexes

from . import types
from .functions import Overload
from .library import FUNCTIONS
from .parsing import dotted
from .syntax import Bind, Call, CelError, Ident, ListOf, Literal, Loop, MapOf, Node, Select, Struct
from .types import BOOL, DYN, INT, Substitution, Type
from .values import EvalError, Uint

_LITERALS: dict[type, Type] = {
    bool: BOOL,
    int: INT,
    Uint: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
}

# The library that only expressions have which make patches.
_OF_PATCHES = "jsonpatch."
# Functions whose constant operands are looked at before they run, and which operand it is: patterns are the second.
_CONSTANTS = {"timestamp": 0, "duration": 0, "matches": 1, "find": 1, "findAll": 1}


def check(source: str, tree: Node, variables: Mapping[str, Type], *, patches: bool = False) -> Type:
    """The type of the expression; every node is told its own. Raises CelError with everything that is wrong.

    With `patches` it may make values of the types `Object`, `Object.<path>` and `JSONPatch` (KEP-3962).
    """
    checker = _Checker(dict(variables), patches=patches)
    found = checker.visit(tree)
    if checker.problems:
        raise CelError(source, sorted(checker.problems))
    return found


class _Checker:
    def __init__(self, variables: dict[str, Type], *, patches: bool) -> None:
        self._variables = variables
        self._patches = patches
        # Whether lists may hold elements of several types, as those do that `format` takes.
        self._mixed = False
        self.problems: list[tuple[int, str]] = []

    def _problem(self, node: Node, text: str) -> Type:
        self.problems.append((node.offset, text))
        return DYN

    def visit(self, node: Node) -> Type:
        match node:
            case Literal():
                limit = len(node.value) if isinstance(node.value, str | bytes) else 1
                base = _LITERALS[type(node.value)]
                found = Type(base.name, limit=limit) if isinstance(node.value, str | bytes) else base
            case Ident():
                found = self._ident(node)
            case Select():
                found = self._select(node)
            case Call():
                found = self._call(node)
            case ListOf():
                found = self._list(node)
            case MapOf():
                found = self._map(node)
            case Struct():
                found = self._struct(node)
            case Loop():
                found = self._loop(node)
            case Bind():
                value = self.visit(node.value)
                found = self._inside({node.name: value}, node.body)
            case _:
                raise AssertionError(node)
        node.type = found
        return found

    def _inside(self, more: dict[str, Type], body: Node) -> Type:
        before = self._variables
        self._variables = {**before, **more}
        found = self.visit(body)
        self._variables = before
        return found

    def _ident(self, node: Ident) -> Type:
        found = self._variables.get(node.name)
        if found is not None:
            return found
        named = types.NAMED.get(node.name)
        if named is not None:
            return types.type_of(named)
        return self._problem(node, f"undeclared reference to '{node.name}' (in container '')")

    def _select(self, node: Select) -> Type:
        name = dotted(node)
        if name in self._variables:
            # A variable may have a name with dots (authorizer.requestResource), which the longest name means.
            return self._variables[name]
        if not node.test and name in types.NAMED and name.partition(".")[0] not in self._variables:
            return types.type_of(types.NAMED[name])
        operand = self.visit(node.operand)
        through = operand
        if operand.name == "optional_type":
            through = operand.parameters[0]
        found = self._field(node, through)
        if node.test:
            return BOOL
        if node.optional or operand.name == "optional_type":
            return types.optional_of(found)
        return found

    def _field(self, node: Select, operand: Type) -> Type:
        if operand.fields is not None:
            known = operand.fields.get(node.field) or operand.fields.get(types.escaped(node.field))
            if known is None:
                return self._problem(node, f"undefined field '{node.field}'")
            return known[1]
        if operand.name == "map":
            return operand.parameters[1]
        if operand.name == "dyn" or operand.name.partition(".")[0] == "Object":
            return DYN
        return self._problem(node, f"type '{operand}' does not support field selection")

    def _call(self, node: Call) -> Type:
        self._resolve(node)
        if node.function in ("_&&_", "_||_"):
            for operand in node.arguments:
                if not Substitution().agree(BOOL, self.visit(operand)):
                    self._problem(operand, f"expected type 'bool' but found '{operand.type}'")
            return BOOL
        if node.function == "_?_:_":
            return self._choice(node)
        before, self._mixed = self._mixed, self._mixed or node.function == "format"
        operands = [self.visit(operand) for operand in node.operands]
        self._mixed = before
        function = FUNCTIONS.get(node.function)
        if function is None or (node.function.startswith(_OF_PATCHES) and not self._patches):
            return self._problem(node, f"undeclared reference to '{node.function}' (in container '')")
        fitting: list[tuple[Overload, Substitution]] = []
        for overload in function.overloads:
            if overload.method is not (node.target is not None) or len(overload.parameters) != len(operands):
                continue
            substitution = Substitution()
            if all(substitution.agree(a, b) for a, b in zip(overload.parameters, operands, strict=True)):
                fitting.append((overload, substitution))
        if not fitting:
            shown = ", ".join(map(str, operands))
            applied = (
                f"{operands[0]}.({', '.join(map(str, operands[1:]))})" if node.target is not None else f"({shown})"
            )
            return self._problem(node, f"found no matching overload for '{node.function}' applied to '{applied}'")
        self._constant(node)
        node.dynamic = any(kind.name == "dyn" for kind in operands) or len(fitting) > 1
        results = [substitution.applied(overload.result) for overload, substitution in fitting]
        found = results[0] if all(other == results[0] for other in results) else DYN
        return _sized(node.function, found, operands)

    def _constant(self, node: Call) -> None:
        """A constant that its function can't take is a mistake of who wrote it and not of an object."""
        position = _CONSTANTS.get(node.function)
        if position is None:
            return
        operand = node.operands[position] if position < len(node.operands) else None
        if not isinstance(operand, Literal) or type(operand.value) not in (str, int):
            return
        try:
            if position and isinstance(operand.value, str):
                regexes.compile(operand.value)
            elif not position:
                FUNCTIONS[node.function].apply(operand.value)
        except (EvalError, regexes.PatternError):
            self._problem(operand, f"invalid {node.function} argument")

    def _resolve(self, node: Call) -> None:
        """`sets.contains(a, b)` is no method of a variable `sets`, unless there is one."""
        target = node.target
        if isinstance(target, Ident) and target.name not in self._variables:
            full = f"{target.name}.{node.function}"
            if full in FUNCTIONS:
                node.function, node.target = full, None

    def _choice(self, node: Call) -> Type:
        condition, chosen, other = (self.visit(operand) for operand in node.arguments)
        alike = Substitution().agree(chosen, other) or Substitution().agree(other, chosen)
        if not alike or not Substitution().agree(BOOL, condition):
            shown = f"({condition}, {chosen}, {other})"
            return self._problem(node, f"found no matching overload for '_?_:_' applied to '{shown}'")
        return types.common([chosen, other])

    def _list(self, node: ListOf) -> Type:
        found: list[Type] = []
        for position, item in enumerate(node.items):
            kind = self.visit(item)
            if position in node.optional:
                kind = kind.parameters[0] if kind.name == "optional_type" else DYN
            if found and not self._mixed and not Substitution().agree(found[0], kind):
                self._problem(item, f"expected type '{found[0]}' but found '{kind}'")
            found.append(kind)
        return types.list_of(types.common(found), len(found))

    def _map(self, node: MapOf) -> Type:
        keys: list[Type] = []
        found: list[Type] = []
        for key, value, optional in node.entries:
            name = self.visit(key)
            if keys and not self._mixed and not Substitution().agree(keys[0], name):
                self._problem(key, f"expected type '{keys[0]}' but found '{name}'")
            keys.append(name)
            kind = self.visit(value)
            if optional:
                kind = kind.parameters[0] if kind.name == "optional_type" else DYN
            if found and not self._mixed and not Substitution().agree(found[0], kind):
                self._problem(value, f"expected type '{found[0]}' but found '{kind}'")
            found.append(kind)
        return types.map_of(types.common(keys), types.common(found), len(found))

    def _struct(self, node: Struct) -> Type:
        kinds = [(name, value, self.visit(value), optional) for name, value, optional in node.fields]
        if not self._patches or (node.name != "JSONPatch" and node.name.partition(".")[0] != "Object"):
            return self._problem(node, f"undeclared reference to '{node.name}' (in container '')")
        for name, value, kind, optional in kinds:
            if optional and kind.name not in ("optional_type", "dyn"):
                self._problem(value, f"expected type 'optional_type(dyn)' but found '{kind}'")
            if node.name != "JSONPatch":
                continue
            wanted = types.PATCH_FIELDS.get(name)
            stated = kind.parameters[0] if optional and kind.name == "optional_type" else kind
            if wanted is None:
                self._problem(value, f"undefined field '{name}'")
            elif not Substitution().agree(wanted, stated):
                self._problem(value, f"expected type of field '{name}' is '{wanted}' but provided type is '{stated}'")
        return Type(node.name)

    def _loop(self, node: Loop) -> Type:
        over = self.visit(node.range)
        if node.kind in ("optMap", "optFlatMap"):
            inner = over.parameters[0] if over.name == "optional_type" else DYN
            if over.name not in ("optional_type", "dyn"):
                return self._problem(node, f"found no matching overload for '{node.kind}' applied to '{over}'")
            found = self._inside({node.variables[0]: inner}, node.arguments[0])
            return types.optional_of(found) if node.kind == "optMap" else found
        variables = self._variables_of(node, over)
        if variables is None:
            why = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
            return self._problem(node.range, why)
        kinds = [self._inside(variables, argument) for argument in node.arguments]
        for kind, argument in list(zip(kinds, node.arguments, strict=True))[: _conditions(node)]:
            if not Substitution().agree(BOOL, kind):
                self._problem(argument, f"expected type 'bool' but found '{kind}'")
        match node.kind:
            case "all" | "exists" | "exists_one":
                return BOOL
            case "filter":
                return over if over.name == "list" else types.list_of(variables[node.variables[0]], over.limit)
            case "sortBy":
                return over
            case "transformMapEntry":
                return kinds[-1] if kinds[-1].name == "map" else types.map_of(DYN, DYN, over.limit)
            case "transformMap":
                key = over.parameters[0] if over.name == "map" else INT
                return types.map_of(key, kinds[-1], over.limit)
        return types.list_of(kinds[-1], over.limit)

    def _variables_of(self, node: Loop, over: Type) -> dict[str, Type] | None:
        kinds: tuple[Type, ...]
        if over.name == "list":
            kinds = (over.parameters[0],) if len(node.variables) == 1 else (INT, over.parameters[0])
        elif over.name == "map":
            kinds = over.parameters[: len(node.variables)]
        elif over.name == "dyn":
            kinds = (DYN,) * len(node.variables)
        else:
            return None
        return dict(zip(node.variables, kinds, strict=True))


def _conditions(node: Loop) -> int:
    """How many of a macro's expressions must be bool."""
    if node.kind in ("all", "exists", "exists_one", "filter"):
        return 1
    return len(node.arguments) - 1


def _sized(function: str, found: Type, operands: list[Type]) -> Type:
    """The result with the most that it can hold, for the price of what is done with it."""
    if found.name not in ("string", "bytes", "list"):
        return found
    limit = operands[0].limit if operands else found.limit
    if function == "_+_":
        limit = operands[0].limit + operands[1].limit
    elif function in ("split", "findAll", "replace", "format", "join"):
        limit = max(operand.limit for operand in operands)
    elif function in ("_[_]", "_[?_]", "orValue", "value", "min", "max", "getQuery"):
        return found
    return Type(found.name, *found.parameters, limit=limit)
