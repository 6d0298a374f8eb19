"""From the claims of a token to a user, by the rules of a JWT authenticator (AuthenticationConfiguration, KEP-3331).

Claims are mapped as they are, with a prefix, or by CEL expressions over `claims`; rules over `claims` and over `user`
may refuse the token in the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keelson.api.cel import programs, syntax, types
from keelson.api.cel.programs import Program
from keelson.api.cel.values import BudgetError, EvalError
from keelson.component_base.configurations import ConfigurationError
from keelson.kube_apiserver.registry.contexts import User

_CLAIMS = {"claims": types.map_of(types.STRING, types.DYN)}
_USER = {"user": types.map_of(types.STRING, types.DYN)}
_CREDENTIAL = "authentication.kubernetes.io/credential-id"


class ClaimsError(Exception):
    """Claims that give no user; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that is read from claims: a claim with a prefix, or an expression; nothing where neither is given."""

    claim: str = ""
    prefix: str = ""
    expression: Program | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression that must be true; `message` is for whoever reads why it was not."""

    expression: Program
    message: str = ""


@dataclass(frozen=True, slots=True)
class Mappings:
    """All of what one authenticator makes of claims."""

    username: Source
    groups: Source = field(default_factory=Source)
    uid: Source = field(default_factory=Source)
    extra: Sequence[tuple[str, Program]] = ()
    required: Mapping[str, str] = field(default_factory=dict)
    claim_rules: Sequence[Rule] = ()
    user_rules: Sequence[Rule] = ()


def compiled(where: str, source: str, *, of_user: bool = False, kinds: Sequence[str] = ()) -> Program:
    """The program of an expression over `claims` (or `user`). Raises ConfigurationError."""
    try:
        program = programs.compile(source, _USER if of_user else _CLAIMS)
    except syntax.CelError as error:
        raise ConfigurationError(f"{where}: Invalid value: {source!r}: compilation failed: {error}") from error
    shown = str(program.type)
    if kinds and shown != "dyn" and not any(shown.startswith(kind) for kind in kinds):
        raise ConfigurationError(f"{where}: Invalid value: {source!r}: must evaluate to {' or '.join(kinds)}")
    return program


def reads_claim(program: Program, name: str) -> bool:
    """Whether an expression looks at a claim by its name."""
    return _reads(program.tree, name)


def _reads(part: Any, name: str) -> bool:
    if isinstance(part, syntax.Select) and part.field == name:
        operand = part.operand
        if isinstance(operand, syntax.Ident) and operand.name == "claims":
            return True
    if isinstance(part, syntax.Node):
        slots = [slot for kind in type(part).__mro__ for slot in getattr(kind, "__slots__", ())]
        return any(_reads(getattr(part, slot, None), name) for slot in slots if slot != "type")
    if isinstance(part, list | tuple):
        return any(_reads(each, name) for each in part)
    return False


def user_of(mappings: Mappings, claims: Mapping[str, Any]) -> User:
    """The user whom verified claims speak of. Raises ClaimsError."""
    name = _username(mappings.username, claims)
    groups = _groups(mappings.groups, claims)
    uid = _uid(mappings.uid, claims)
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti") and isinstance(claims["jti"], str):
        extra[_CREDENTIAL] = (f"JTI={claims['jti']}",)
    for key, program in mappings.extra:
        values = _texts(_run(program, {"claims": claims}, "extra"), "extra")
        if values:
            extra[key] = tuple(values)
    for claim, wanted in mappings.required.items():
        if claim not in claims:
            raise ClaimsError(f"required claim {claim} not present in ID token")
        if claims[claim] != wanted:
            raise ClaimsError(f"required claim {claim} value does not match. Got = {claims[claim]}, want = {wanted}")
    _check(mappings.claim_rules, {"claims": claims}, "claim validation expression")
    user = User(name, tuple(groups), uid, extra)
    if mappings.user_rules:
        shown = {
            "username": name,
            "uid": uid,
            "groups": list(groups),
            "extra": {key: list(values) for key, values in extra.items()},
        }
        _check(mappings.user_rules, {"user": shown}, "user info validation rule")
    return user


def _run(program: Program, variables: Mapping[str, Any], what: str) -> Any:
    try:
        return program.run(variables)[0]
    except (EvalError, BudgetError) as error:
        raise ClaimsError(f"error evaluating {what} claim expression: {error}") from error


def _check(rules: Sequence[Rule], variables: Mapping[str, Any], what: str) -> None:
    for rule in rules:
        try:
            value = rule.expression.run(variables)[0]
        except (EvalError, BudgetError) as error:
            raise ClaimsError(f"error evaluating {what}: {error}") from error
        if not isinstance(value, bool):
            raise ClaimsError(f"error evaluating {what}: validation expression must return a boolean")
        if not value:
            message = f"validation expression '{rule.expression.source}' failed: {rule.message}"
            raise ClaimsError(f"error evaluating {what}: {message}")


def _username(mapping: Source, claims: Mapping[str, Any]) -> str:
    if mapping.expression is not None:
        value = _run(mapping.expression, {"claims": claims}, "username")
        if not isinstance(value, str):
            raise ClaimsError(
                "error evaluating username claim expression: username claim expression must return a string"
            )
        if not value:
            raise ClaimsError("empty username via CEL expression is not allowed")
        return value
    value = claims.get(mapping.claim)
    if not isinstance(value, str):
        why = "claim not present" if mapping.claim not in claims else "claim is no string"
        raise ClaimsError(f'parse username claims "{mapping.claim}": {why}')
    # OpenID Connect Core 1.0, 5.1: an address that nobody verified may be anybody's.
    if mapping.claim == "email" and claims.get("email_verified", True) is not True:
        raise ClaimsError("email not verified")
    return mapping.prefix + value


def _groups(mapping: Source, claims: Mapping[str, Any]) -> list[str]:
    if mapping.expression is not None:
        return _texts(_run(mapping.expression, {"claims": claims}, "group"), "group")
    value = claims.get(mapping.claim) if mapping.claim else None
    if value is None:
        return []
    # One group may be stated without a list around it.
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ClaimsError(f'parse groups claim "{mapping.claim}": want a string or a list of strings')
    return [mapping.prefix + each for each in values]


def _uid(mapping: Source, claims: Mapping[str, Any]) -> str:
    if mapping.expression is not None:
        value = _run(mapping.expression, {"claims": claims}, "uid")
        if not isinstance(value, str):
            raise ClaimsError("error evaluating uid claim expression: uid claim expression must return a string")
        return value
    if not mapping.claim:
        return ""
    value = claims.get(mapping.claim)
    if not isinstance(value, str):
        raise ClaimsError(f'parse uid claim "{mapping.claim}": claim not present')
    return value


def _texts(value: Any, what: str) -> list[str]:
    """A string or a list of strings; empty ones count for nothing."""
    values = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ClaimsError(
            f"error evaluating {what} claim expression: expression must return a string or a list of strings"
        )
    return [each for each in values if each]
