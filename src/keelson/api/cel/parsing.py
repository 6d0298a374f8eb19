"""From tokens to the tree of an expression, macros included (CEL specification, "Syntax" and "Macros")."""

from __future__ import annotations

from collections.abc import Callable

from . import scanning
from .scanning import INT64_MAX, RESERVED, Token
from .syntax import Bind, Call, CelError, Ident, ListOf, Literal, Loop, MapOf, Node, Select, Struct

# Deep enough for every rule that a person writes; each level costs a handful of frames here and in the evaluator.
_MAX_DEPTH = 50
# The reference parser's bound: reading an expression must not take seconds.
_MOST_CHARACTERS = 100_000
_RELATIONS = frozenset(["<", "<=", ">=", ">", "==", "!=", "in"])
# How many names and how many expressions each macro takes.
_LOOPS: dict[str, tuple[tuple[int, int], ...]] = {
    "all": ((1, 1), (2, 1)),
    "exists": ((1, 1), (2, 1)),
    "exists_one": ((1, 1), (2, 1)),
    "existsOne": ((1, 1), (2, 1)),
    "map": ((1, 1), (1, 2)),
    "filter": ((1, 1),),
    "transformList": ((2, 1), (2, 2)),
    "transformMap": ((2, 1), (2, 2)),
    "transformMapEntry": ((2, 1), (2, 2)),
    "sortBy": ((1, 1),),
    "optMap": ((1, 1),),
    "optFlatMap": ((1, 1),),
}


def parse(source: str) -> Node:
    """The tree of an expression. Raises CelError."""
    if len(source) > _MOST_CHARACTERS:
        why = f"expression code point size exceeds limit: size: {len(source)}, limit {_MOST_CHARACTERS}"
        # The expression itself is left out of the complaint.
        raise CelError("", [(0, why)])
    return _Parser(source).whole()


def dotted(node: Node) -> str:
    """`a.b.c` of plain names, "" for anything else."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        head = dotted(node.operand)
        return f"{head}.{node.field}" if head else ""
    return ""


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = scanning.tokens(source)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        tree = self._expression()
        if self._now.kind != "end":
            raise self._surprise()
        return tree

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _fail(self, offset: int, text: str) -> CelError:
        return CelError(self._source, [(offset, text)])

    def _surprise(self) -> CelError:
        token = self._now
        shown = "<EOF>" if token.kind == "end" else token.text
        return self._fail(token.offset, f"Syntax error: mismatched input '{shown}'")

    def _take(self, text: str) -> Token | None:
        token = self._now
        if token.kind == "op" and token.text == text:
            self._at += 1
            return token
        return None

    def _need(self, text: str) -> Token:
        token = self._take(text)
        if token is None:
            raise self._surprise()
        return token

    # --- operators, weakest first

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._fail(self._now.offset, f"expression recursion limit exceeded: {_MAX_DEPTH}")
        condition = self._or()
        mark = self._take("?")
        if mark is not None:
            chosen = self._or()
            self._need(":")
            condition = Call(mark.offset, "_?_:_", None, [condition, chosen, self._expression()])
        self._depth -= 1
        return condition

    def _or(self) -> Node:
        return self._chain(self._and, {"||": "_||_"})

    def _and(self) -> Node:
        return self._chain(self._relation, {"&&": "_&&_"})

    def _relation(self) -> Node:
        left = self._sum()
        while self._now.kind == "op" and self._now.text in _RELATIONS:
            token = self._now
            self._at += 1
            name = "@in" if token.text == "in" else f"_{token.text}_"
            left = Call(token.offset, name, None, [left, self._sum()])
        return left

    def _sum(self) -> Node:
        return self._chain(self._product, {"+": "_+_", "-": "_-_"})

    def _product(self) -> Node:
        return self._chain(self._unary, {"*": "_*_", "/": "_/_", "%": "_%_"})

    def _chain(self, part: Callable[[], Node], names: dict[str, str]) -> Node:
        left = part()
        count = 0
        while self._now.kind == "op" and self._now.text in names:
            token = self._now
            self._at += 1
            count += 1
            if count > 4 * _MAX_DEPTH:
                raise self._fail(token.offset, "expression recursion limit exceeded")
            left = Call(token.offset, names[token.text], None, [left, part()])
        return left

    def _unary(self) -> Node:
        token = self._now
        if token.kind != "op" or token.text not in ("!", "-"):
            return self._member(self._primary())
        self._at += 1
        if token.text == "-" and self._now.kind == "literal" and type(self._now.value) in (int, float):
            value = -self._now.value
            self._at += 1
            return self._member(Literal(token.offset, value))
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._fail(token.offset, f"expression recursion limit exceeded: {_MAX_DEPTH}")
        made = Call(token.offset, "!_" if token.text == "!" else "-_", None, [self._unary()])
        self._depth -= 1
        return made

    # --- members

    def _member(self, operand: Node) -> Node:
        steps = 0
        while True:
            steps += 1
            if steps > 4 * _MAX_DEPTH:
                raise self._fail(self._now.offset, "expression recursion limit exceeded")
            dot = self._take(".")
            if dot is not None:
                operand = self._selected(operand, dot)
                continue
            if self._now.kind == "op" and self._now.text == "{" and (name := dotted(operand)):
                operand = self._struct(operand, name)
                continue
            bracket = self._take("[")
            if bracket is None:
                return operand
            name = "_[?_]" if self._take("?") else "_[_]"
            operand = Call(bracket.offset, name, None, [operand, self._expression()])
            self._need("]")

    def _selected(self, operand: Node, dot: Token) -> Node:
        optional = self._take("?") is not None
        token = self._now
        if token.kind not in ("ident", "field") and not (token.kind == "op" and token.text == "in"):
            if token.kind == "end":
                raise self._fail(token.offset, "Syntax error: no viable alternative at input '.'")
            raise self._surprise()
        self._at += 1
        opening = self._take("(") if token.kind == "ident" and not optional else None
        if opening is not None:
            arguments = self._arguments(")")
            return self._method(operand, token, opening.offset, arguments)
        return Select(dot.offset, operand, token.text, optional=optional)

    def _arguments(self, end: str) -> list[Node]:
        found: list[Node] = []
        while not self._take(end):
            found.append(self._expression())
            if not self._take(","):
                self._need(end)
                break
        return found

    def _method(self, operand: Node, token: Token, offset: int, arguments: list[Node]) -> Node:
        name = token.text
        if isinstance(operand, Ident) and operand.name == "cel" and name == "bind" and len(arguments) == 3:
            if not isinstance(arguments[0], Ident):
                raise self._fail(arguments[0].offset, "cel.bind() variable names must be simple identifiers")
            return Bind(token.offset, arguments[0].name, arguments[1], arguments[2])
        for names, expressions in _LOOPS.get(name, ()):
            if len(arguments) == names + expressions:
                variables = arguments[:names]
                # map(x, a, b) filters; the two-variable forms of other macros are told apart by their second name.
                if not all(isinstance(variable, Ident) for variable in variables):
                    raise self._fail(arguments[0].offset, "argument is not an identifier")
                chosen = tuple(variable.name for variable in variables if isinstance(variable, Ident))
                kind = "exists_one" if name == "existsOne" else name
                return Loop(token.offset, kind, operand, chosen, arguments[names:])
        return Call(offset, name, operand, arguments)

    # --- what stands alone

    def _primary(self) -> Node:
        token = self._now
        if token.kind == "literal":
            self._at += 1
            if type(token.value) is int and token.value > INT64_MAX:
                raise self._fail(token.offset, "invalid int literal")
            return Literal(token.offset, token.value)
        if self._take("("):
            inner = self._expression()
            self._need(")")
            return inner
        if self._take("["):
            return self._list(token)
        if self._take("{"):
            return self._map(token)
        self._take(".")
        token = self._now
        if token.kind != "ident":
            raise self._surprise()
        self._at += 1
        if token.text in RESERVED:
            raise self._fail(token.offset, f"reserved identifier: {token.text}")
        opening = self._take("(")
        if opening is None:
            return Ident(token.offset, token.text)
        arguments = self._arguments(")")
        if token.text == "has":
            if len(arguments) != 1 or not isinstance(arguments[0], Select) or arguments[0].optional:
                where = arguments[0].offset if arguments else opening.offset
                raise self._fail(where, "invalid argument to has() macro")
            return Select(arguments[0].offset, arguments[0].operand, arguments[0].field, test=True)
        return Call(opening.offset, token.text, None, arguments)

    def _list(self, token: Token) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        while not self._take("]"):
            if self._take("?"):
                optional.add(len(items))
            items.append(self._expression())
            if not self._take(","):
                self._need("]")
                break
        return ListOf(token.offset, items, frozenset(optional))

    def _struct(self, operand: Node, name: str) -> Node:
        brace = self._need("{")
        fields: list[tuple[str, Node, bool]] = []
        while not self._take("}"):
            optional = self._take("?") is not None
            token = self._now
            if token.kind not in ("ident", "field"):
                raise self._surprise()
            self._at += 1
            self._need(":")
            fields.append((token.text, self._expression(), optional))
            if not self._take(","):
                self._need("}")
                break
        return Struct(brace.offset, name, fields)

    def _map(self, token: Token) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._take("}"):
            optional = self._take("?") is not None
            key = self._expression()
            self._need(":")
            entries.append((key, self._expression(), optional))
            if not self._take(","):
                self._need("}")
                break
        return MapOf(token.offset, entries)
