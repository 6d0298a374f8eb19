"""Rules in the expression language (CEL), alone and in resource definitions."""

from __future__ import annotations

import json

from hypothesis import strategies as some

from tests.faults.fuzzing.requests import DRY, Case, dumped
from tests.faults.fuzzing.seeds import CUSTOM, DEFINITION

_CEL = some.lists(
    some.sampled_from(
        ["self", "oldSelf", ".", "spec", "name", "replicas", "list", "map", "(", ")", "[", "]", "{", "}", ",", ":"]
    )
    | some.sampled_from(["(" * 3000, "[" * 3000, "!" * 3000, "-" * 3000, "x.map(y, " * 500, "a." * 3000, "1+" * 3000])
    | some.sampled_from(
        [
            "+",
            "-",
            "*",
            "/",
            "%",
            "==",
            "!=",
            "<",
            ">=",
            "&&",
            "||",
            "!",
            "?",
            "in",
            "'a'",
            '"b"',
            "1",
            "1.5",
            "0",
            "9" * 40,
        ]
    )
    | some.sampled_from(
        ["all(", "exists(x,", "map(x,", "filter(x,", "size()", "matches('(a*)*')", "has(", "true", "null", "b'x'"]
    )
    | some.sampled_from(
        [
            "x",
            "duration('1h')",
            "timestamp('x')",
            "quantity('1Ki')",
            "url('a')",
            "ip('1')",
            "optional.none()",
            "?.",
            "split('')",
        ]
    )
    | some.sampled_from(
        [
            " * 9223372036854775807",
            "dyn(",
            "string(",
            "int(",
            "uint(",
            "type(",
            "join()",
            "replace('','x')",
            "lowerAscii()",
        ]
    ),
    max_size=14,
)


@some.composite
def rules(draw: some.DrawFn) -> Case:
    """Rules of a resource definition, in the expression language."""
    return rule(draw(expressions()))


# Expressions that mean something, to be spoiled.
_SOUND = some.sampled_from(
    [
        "self.list.all(x, x.startsWith('a') && x.size() < 10)",
        "self.map.exists(k, k.matches('^[a-z]+$')) || self.replicas > oldSelf.replicas",
        "self.list.map(x, x + x).map(x, x + x).map(x, x + x).size() < 100",
        "self.list.all(x, self.list.all(y, self.list.all(z, self.list.all(w, x + y != z + w))))",
        "quantity(self.name).isLessThan(quantity('1Gi')) ? 'a'.replace('a', self.name) == 'b' : has(self.map.x)",
        "url('https://a/b?c=d').getHost() == 'a' && ip('10.0.0.1').family() == 4",
        "timestamp('2026-01-01T00:00:00Z') + duration('1h') > timestamp('2026-01-01T00:30:00Z')",
        "semver('1.2.3').isGreaterThan(semver('1.2.2')) && '%d %s'.format([1, 'a']) == '1 a'",
        "[1, 2, 3].sum() == 6 && sets.contains([1, 2], [1]) && 'a,b'.split(',').join('') == 'ab'",
        "self.list.sort().reverse().flatten().distinct().slice(0, 1) == ['a']",
        "int(self.name) / self.replicas + int('9223372036854775807') * 2 > 0",
    ]
)


@some.composite
def expressions(draw: some.DrawFn) -> str:
    """Expressions: sound ones with a few characters spoiled or pieces between, and pieces in any order."""
    if draw(some.booleans()):
        return draw(some.sampled_from(["", " ", "."])).join(draw(_CEL))
    text = draw(_SOUND)
    for _ in range(draw(some.integers(0, 2))):
        at = draw(some.integers(0, len(text)))
        piece = draw(some.one_of(_CEL.map(lambda pieces: "".join(pieces[:2])), some.text(max_size=2)))
        text = text[:at] + piece + text[at + draw(some.integers(0, 3)) :]
    return text


def rule(text: str) -> Case:
    """A resource definition with this rule."""
    document = json.loads(json.dumps(DEFINITION))
    schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["x-kubernetes-validations"] = [{"rule": text}]
    return Case("POST", f"{CUSTOM}?{DRY}", dumped(document), "application/json")
