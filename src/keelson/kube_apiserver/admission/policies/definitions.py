"""Policies and bindings as their objects state them, ready to be matched and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from keelson.api import meta
from keelson.api.cel.conditions import Condition
from keelson.api.cel.environments import OPERATIONS, PATCHED, Environment, ExpressionError
from keelson.api.cel.programs import Program
from keelson.api.cel.types import BOOL, NULL, STRING, Type
from keelson.api.meta import Object
from keelson.kube_apiserver.admission.matching import Criteria

# A program, or why there is none.
Expression = Program | str


class Validation(NamedTuple):
    """One rule. `message` is the expression of its message, None where it has none."""

    text: str
    program: Expression
    message: Expression | None
    told: str
    reason: str


class Annotation(NamedTuple):
    """One audit annotation."""

    key: str
    text: str
    program: Expression


class Mutation(NamedTuple):
    """One change: `applies` where its expression gives an apply configuration, else it gives JSON patches."""

    applies: bool
    program: Expression


class Policy(NamedTuple):
    """A policy of either kind. `closed` says that what fails refuses; `param_kind` is (apiVersion, kind)."""

    name: str
    criteria: Criteria
    closed: bool
    param_kind: tuple[str, str] | None
    composed: Mapping[str, Expression]
    conditions: tuple[Condition, ...]
    validations: tuple[Validation, ...]
    annotations: tuple[Annotation, ...]
    mutations: tuple[Mutation, ...]
    is_reinvoked: bool


class Binding(NamedTuple):
    """What puts a policy in force. `criteria` None matches all that the policy does."""

    name: str
    policy: str
    criteria: Criteria | None
    param_ref: Mapping[str, Any] | None
    actions: tuple[str, ...]


def _compiled(
    environment: Environment, text: str, *returns: Type, authorizes: bool = True, patches: bool = False
) -> Expression:
    try:
        return environment.compile(text, *returns, authorizes=authorizes, patches=patches)
    except ExpressionError as error:
        return str(error)


def policy(obj: Object) -> Policy:
    """The policy of a ValidatingAdmissionPolicy or MutatingAdmissionPolicy."""
    spec = obj["spec"]
    kind = spec.get("paramKind")
    environment = Environment(has_params=kind is not None, composes=True)
    for variable in spec.get("variables") or ():
        environment.compose(variable["name"], variable["expression"])
    match = spec.get("matchConstraints") or {}
    return Policy(
        name=meta.name(obj),
        criteria=Criteria(match, match.get("resourceRules") or ()),
        closed=spec.get("failurePolicy") != "Ignore",
        param_kind=None if kind is None else (kind["apiVersion"], kind["kind"]),
        composed=environment.composed,
        conditions=tuple(
            Condition(each["name"], _compiled(environment, each["expression"], BOOL))
            for each in spec.get("matchConditions") or ()
        ),
        validations=tuple(_validation(environment, each) for each in spec.get("validations") or ()),
        annotations=tuple(
            Annotation(
                each["key"], each["valueExpression"], _compiled(environment, each["valueExpression"], STRING, NULL)
            )
            for each in spec.get("auditAnnotations") or ()
        ),
        mutations=tuple(_mutation(environment, each) for each in spec.get("mutations") or ()),
        is_reinvoked=spec.get("reinvocationPolicy") == "IfNeeded",
    )


def _validation(environment: Environment, stated: Mapping[str, Any]) -> Validation:
    message = stated.get("messageExpression") or ""
    return Validation(
        stated["expression"],
        _compiled(environment, stated["expression"], BOOL),
        _compiled(environment, message, STRING, authorizes=False) if message.strip() else None,
        (stated.get("message") or "").strip(),
        stated.get("reason") or "Invalid",
    )


def _mutation(environment: Environment, stated: Mapping[str, Any]) -> Mutation:
    applies = stated["patchType"] == "ApplyConfiguration"
    text = stated["applyConfiguration" if applies else "jsonPatch"]["expression"]
    return Mutation(applies, _compiled(environment, text, PATCHED if applies else OPERATIONS, patches=True))


def binding(obj: Object) -> Binding:
    """The binding of a ValidatingAdmissionPolicyBinding or MutatingAdmissionPolicyBinding."""
    spec = obj["spec"]
    match = spec.get("matchResources")
    return Binding(
        name=meta.name(obj),
        policy=spec["policyName"],
        criteria=None if match is None else Criteria(match, match.get("resourceRules") or ()),
        param_ref=spec.get("paramRef"),
        actions=tuple(spec.get("validationActions") or ()),
    )
