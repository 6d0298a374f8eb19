"""Label selectors: the text form of query parameters and the LabelSelector of specs, compiled to one matcher.

Grammar and messages are those of upstream's labels.Parse, because clients show them: equality (`a=b`, `a==b`, `a!=b`),
sets (`a in (b,c)`, `a notin (b)`), existence (`a`, `!a`) and order (`a>1`, `a<5`), joined by commas.
Rules: API concepts ("Labels and Selectors"), metav1.LabelSelector.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

IN, NOT_IN, EXISTS, DOES_NOT_EXIST, GREATER, LESS = "in", "notin", "exists", "!", "gt", "lt"
EQUALS, DOUBLE_EQUALS, NOT_EQUALS = "=", "==", "!="

_BINARY = (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER, LESS)
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_SYMBOLS = frozenset("=!(),><")
_SPACE = frozenset(" \t\r\n")
_INT64_MAX = 2**63 - 1

NAME_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


class SelectorError(ValueError):
    """Text or LabelSelector that is no selector; the message is upstream's, without the object's name."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `values` is empty for existence, holds one element for equality and order."""

    key: str
    operator: str
    values: frozenset[str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy it. An absent label satisfies `!=`, `notin` and `!`, and nothing else."""
        value = labels.get(self.key)
        operator = self.operator
        if operator in {IN, EQUALS, DOUBLE_EQUALS}:
            return value is not None and value in self.values
        if operator in {NOT_IN, NOT_EQUALS}:
            return value is None or value not in self.values
        if operator == EXISTS:
            return value is not None
        if operator == DOES_NOT_EXIST:
            return value is None
        if value is None or not _is_int64(value):
            return False
        (bound,) = self.values
        return int(value) > int(bound) if operator == GREATER else int(value) < int(bound)

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == DOES_NOT_EXIST:
            return f"!{self.key}"
        if self.operator in {IN, NOT_IN}:
            return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
        (value,) = self.values
        return f"{self.key}{ {GREATER: '>', LESS: '<'}.get(self.operator, self.operator) }{value}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of requirements; without any it selects everything, unless `nothing` says the opposite."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def empty(self) -> bool:
        """Whether it selects every object."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        if self.nothing:
            return False
        # A loop and not all(…): this runs once per object of a list, and a generator costs more than the test.
        for requirement in self.requirements:  # noqa: SIM110
            if not requirement.matches(labels):
                return False
        return True

    def exact(self, key: str) -> str | None:
        """The one value that the selector demands of `key`, or None; lets a caller use an index."""
        for requirement in self.requirements:
            if (
                requirement.key == key
                and requirement.operator in {IN, EQUALS, DOUBLE_EQUALS}
                and len(requirement.values) == 1
            ):
                return next(iter(requirement.values))
        return None

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def parse(text: str) -> Selector:
    """The selector that `labelSelector=` writes; SelectorError with upstream's message where it is none."""
    if not text:
        return EVERYTHING
    return _Parser(_scan(text)).selector()


def from_labels(labels: Mapping[str, str] | None) -> Selector:
    """The selector of a plain map, as Service.spec.selector has: equality on each label, everything where empty."""
    return Selector(tuple(Requirement(key, EQUALS, frozenset((value,))) for key, value in (labels or {}).items()))


_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST, "Gt": GREATER, "Lt": LESS}


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """The matcher of a metav1.LabelSelector: None selects nothing, an empty one everything.

    Raises SelectorError where an operator, a key or a value breaks its rule.
    """
    if selector is None:
        return NOTHING
    requirements = [
        requirement(key, EQUALS, (value,)) for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for expression in selector.get("matchExpressions") or ():
        operator = expression.get("operator")
        if operator not in {"In", "NotIn", "Exists", "DoesNotExist"}:
            raise SelectorError(f'"{operator}" is not a valid label selector operator')
        requirements.append(
            requirement(expression.get("key") or "", _OPERATORS[operator], expression.get("values") or ())
        )
    return Selector(tuple(requirements))


def from_node_selector_terms(expressions: Iterable[Mapping[str, Any]]) -> Selector:
    """The matcher of a NodeSelectorTerm's matchExpressions, which know Gt and Lt beside the four set operators."""
    requirements: list[Requirement] = []
    for expression in expressions:
        operator = _OPERATORS.get(expression.get("operator") or "")
        if operator is None:
            raise SelectorError(f'"{expression.get("operator")}" is not a valid node selector operator')
        requirements.append(requirement(expression.get("key") or "", operator, expression.get("values") or ()))
    return Selector(tuple(requirements))


def requirement(key: str, operator: str, values: Iterable[str]) -> Requirement:
    """A checked requirement; SelectorError where key, operator and values do not go together."""
    problem = _key_problem(key)
    if problem:
        raise SelectorError(f'<nil>: Invalid value: "{key}": {problem}')
    chosen = frozenset(values)
    shown = _go_strings(sorted(chosen))
    if operator in {IN, NOT_IN}:
        if not chosen:
            raise SelectorError(
                f"<nil>: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty"
            )
    elif operator in {EQUALS, DOUBLE_EQUALS, NOT_EQUALS}:
        if len(chosen) != 1:
            raise SelectorError(f"<nil>: Invalid value: {shown}: exact-match compatibility requires one single value")
    elif operator in {EXISTS, DOES_NOT_EXIST}:
        if chosen:
            raise SelectorError(
                f"<nil>: Invalid value: {shown}: values set must be empty for exists and does not exist"
            )
    elif len(chosen) != 1:
        raise SelectorError(f"<nil>: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required")
    for place, value in enumerate(sorted(chosen)):
        if operator in {GREATER, LESS} and not _is_int64(value):
            raise SelectorError(
                f"values[{place}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            )
        problem = value_problem(value)
        if problem:
            raise SelectorError(f'values[{place}][{key}]: Invalid value: "{value}": {problem}')
    return Requirement(key, operator, chosen)


def _is_int64(text: str) -> bool:
    # The length first: int() of a long digit string is slow, and Python refuses it above 4300 digits.
    return len(text) <= 63 and _INTEGER.fullmatch(text) is not None and -_INT64_MAX - 1 <= int(text) <= _INT64_MAX


def _go_strings(values: list[str]) -> str:
    return "[" + ",".join(f'"{value}"' for value in values) + "]"


def _key_problem(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash:
        if not prefix:
            return "prefix part must be non-empty"
        if "/" in prefix:
            return (
                "a valid label key " + NAME_RULE + " with an optional DNS subdomain prefix and '/' (e.g. "
                "'example.com/MyName')"
            )
        if len(prefix) > 253:
            return "prefix part must be no more than 253 bytes"
        if not _SUBDOMAIN.fullmatch(prefix):
            return "prefix part " + SUBDOMAIN_RULE
    problems: list[str] = []
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not _NAME.fullmatch(name):
        problems.append("name part " + NAME_RULE)
    return "; ".join(problems)


def value_problem(value: str) -> str:
    """What is wrong with a label's value, "" where nothing is."""
    problems: list[str] = []
    if len(value) > 63:
        problems.append("must be no more than 63 bytes")
    if value and not _NAME.fullmatch(value):
        problems.append(VALUE_RULE)
    return "; ".join(problems)


_IDENTIFIER, _END, _ERROR = "identifier", "end", "error"
_TOKENS = frozenset({")", ",", "!", "==", "=", "!=", "(", ">", "<"})


def _scan(text: str) -> list[tuple[str, str]]:
    """(sort, literal) pairs; a sort is a symbol, "in", "notin", or one of the kinds above."""
    tokens: list[tuple[str, str]] = []
    position, length = 0, len(text)
    while position < length:
        char = text[position]
        if char in _SPACE:
            position += 1
        elif char in _SYMBOLS:
            # The longest run of symbols that is a sort: "==" before "=", "!=" before "!".
            end = position + 2 if text[position : position + 2] in _TOKENS else position + 1
            tokens.append((text[position:end], text[position:end]))
            position = end
        else:
            end = position
            while end < length and text[end] not in _SYMBOLS and text[end] not in _SPACE:
                end += 1
            literal = text[position:end]
            tokens.append((literal if literal in {IN, NOT_IN} else _IDENTIFIER, literal))
            position = end
    tokens.append((_END, ""))
    return tokens


class _Parser:
    """Recursive descent over the tokens; `in` and `notin` are identifiers except where an operator may stand."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0

    def selector(self) -> Selector:
        requirements: list[Requirement] = []
        while True:
            sort, literal = self._peek()
            if sort == _END:
                return _ordered(requirements)
            if sort not in {_IDENTIFIER, "!"}:
                raise SelectorError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from error
            sort, literal = self._take()
            if sort == _END:
                return _ordered(requirements)
            if sort != ",":
                raise SelectorError(f"found '{literal}', expected: ',' or 'end of string'")
            sort, literal = self._peek()
            if sort not in {_IDENTIFIER, "!"}:
                raise SelectorError(f"found '{literal}', expected: identifier after ','")

    def _peek(self, *, operators: bool = False) -> tuple[str, str]:
        sort, literal = self._tokens[min(self._position, len(self._tokens) - 1)]
        return (_IDENTIFIER, literal) if not operators and sort in {IN, NOT_IN} else (sort, literal)

    def _take(self, *, operators: bool = False) -> tuple[str, str]:
        found = self._peek(operators=operators)
        self._position += 1
        return found

    def _requirement(self) -> Requirement:
        sort, key = self._take()
        absent = sort == "!"
        if absent:
            sort, key = self._take()
        if sort != _IDENTIFIER:
            raise SelectorError(f"found '{key}', expected: identifier")
        problem = _key_problem(key)
        if problem:
            raise SelectorError(f'<nil>: Invalid value: "{key}": {problem}')
        if absent:
            return requirement(key, DOES_NOT_EXIST, ())
        if self._peek()[0] in {_END, ","}:
            return requirement(key, EXISTS, ())
        sort, literal = self._take(operators=True)
        operator = {">": GREATER, "<": LESS}.get(sort, sort)
        if operator not in _BINARY:
            raise SelectorError(f"found '{literal}', expected: {', '.join(_BINARY)}")
        return requirement(key, operator, self._set() if operator in {IN, NOT_IN} else self._exact())

    def _exact(self) -> set[str]:
        if self._peek()[0] in {_END, ","}:
            return {""}
        sort, literal = self._take()
        if sort != _IDENTIFIER:
            raise SelectorError(f"found '{literal}', expected: identifier")
        return {literal}

    def _set(self) -> set[str]:
        sort, literal = self._take()
        if sort != "(":
            raise SelectorError(f"found '{literal}' expected: '('")
        values: set[str] = set()
        # A comma without a value before or after it stands for the empty value: "(,a)" is {"", "a"}.
        pending = False
        while True:
            sort, literal = self._take()
            if sort == _IDENTIFIER:
                values.add(literal)
                following, shown = self._peek()
                if following not in {",", ")"}:
                    raise SelectorError(f"found '{shown}', expected: ',' or ')'")
                pending = False
            elif sort == ",":
                if pending or not values:
                    values.add("")
                pending = True
            elif sort == ")":
                # "()" is the set of the empty value, as upstream's parser has it.
                if pending or not values:
                    values.add("")
                return values
            else:
                raise SelectorError(f"found '{literal}', expected: ',', ')' or identifier")


def _ordered(requirements: list[Requirement]) -> Selector:
    return Selector(tuple(sorted(requirements, key=lambda each: each.key)))
