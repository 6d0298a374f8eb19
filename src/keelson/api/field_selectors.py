"""Field selectors: `metadata.name=web,status.phase!=Running`, the text form of `fieldSelector=`.

Which fields a kind can be selected by is the server's to say (`fields` tells what a selector asks for). An absent field
counts as empty. Rules: API concepts ("Field Selectors"); the escapes are upstream's: a backslash before a comma, an
equals sign or a backslash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

EQUALS, NOT_EQUALS = "=", "!="


class FieldSelectorError(ValueError):
    """Text that is no field selector; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison of one field; `operator` is "=" or "!="."""

    field: str
    operator: str
    value: str

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields satisfy it."""
        return (fields.get(self.field, "") == self.value) is (self.operator == EQUALS)

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{_escape(self.value)}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A conjunction of terms; without any it selects everything."""

    terms: tuple[Term, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it selects every object."""
        return not self.terms

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it reads, in the order written."""
        return tuple(term.field for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The value that it demands of the field, or None; lets a caller use an index or a single get."""
        return next((t.value for t in self.terms if t.field == field and t.operator == EQUALS), None)

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether an object with these fields is selected."""
        return all(term.matches(fields) for term in self.terms)

    def matches_object(
        self, obj: Mapping[str, Any], read: Callable[[Mapping[str, Any], str], str] | None = None
    ) -> bool:
        """Whether the object is selected; fields are read by their dotted path unless `read` knows better."""
        reader = read or value_at
        return all((reader(obj, t.field) == t.value) is (t.operator == EQUALS) for t in self.terms)

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


EVERYTHING = FieldSelector()


def value_at(obj: Mapping[str, Any], path: str) -> str:
    """The field at a dotted path as selectors compare it: text, "true"/"false", a number's digits, "" where absent."""
    found: Any = obj
    for step in path.split("."):
        if not isinstance(found, Mapping):
            return ""
        found = found.get(step)
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found)


def parse(text: str) -> FieldSelector:
    """The selector that `fieldSelector=` writes; FieldSelectorError with upstream's message where it is none."""
    terms: list[Term] = []
    for part in _split(text):
        if not part:
            continue
        field, operator, value = _divide(part)
        if not operator:
            raise FieldSelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(Term(field, NOT_EQUALS if operator == NOT_EQUALS else EQUALS, _unescape(value)))
    return FieldSelector(tuple(terms))


def _split(text: str) -> list[str]:
    parts: list[str] = []
    start, position = 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == ",":
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


def _divide(term: str) -> tuple[str, str, str]:
    position = 0
    while position < len(term):
        if term[position] == "\\":
            position += 1
        else:
            for operator in ("!=", "==", "="):
                if term.startswith(operator, position):
                    return term[:position], operator, term[position + len(operator) :]
        position += 1
    return term, "", ""


def _unescape(value: str) -> str:
    if "\\" not in value and "," not in value and "=" not in value:
        return value
    result: list[str] = []
    escaped = False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise FieldSelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
            result.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise FieldSelectorError(f"invalid field selector: unescaped character in value: '{char}'")
        else:
            result.append(char)
    if escaped:
        raise FieldSelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(result)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
