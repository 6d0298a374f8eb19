"""The validations and audit annotations of one policy, judged for one request and one parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from keelson.api.cel.conditions import holds
from keelson.api.cel.environments import CONDITIONS_BUDGET, POLICY_BUDGET
from keelson.api.cel.evaluations import Budget, ExhaustedError
from keelson.api.cel.programs import Composition
from keelson.kube_apiserver.admission.policies.definitions import Policy, Validation

_MOST_MESSAGE = 5 * 1024
_MOST_ANNOTATION = 10 * 1024


class Decision(NamedTuple):
    """One finding on the expression at `position`.

    `denies` says whether it is held against the request, `error` that no expression gave it.
    """

    position: int
    denies: bool
    message: str
    reason: str
    error: bool


class Outcome(NamedTuple):
    """All findings (what is fine leaves none), and the annotations with their values.

    `condition_errors` counts match conditions that failed; `excluded` says that they left the request out.
    """

    decisions: list[Decision]
    annotations: list[tuple[str, str]]
    condition_errors: int = 0
    excluded: bool = False


def judged(policy: Policy, variables: Mapping[str, Any], trial: int | None) -> Outcome:
    """The policy's word on a request. Raises evaluations.CostlyError where it costs more than the trial."""
    everything = {**variables, "variables": Composition(policy.composed, variables)}
    failures = 0
    if policy.conditions:
        verdict = holds(policy.conditions, everything, Budget(CONDITIONS_BUDGET, trial), closed=policy.closed)
        failures = verdict.errors
        if verdict.error:
            return Outcome([_failed(policy, 0, verdict.error)], [], failures)
        if not verdict.matches:
            return Outcome([], [], failures, excluded=True)
    decisions: list[Decision] = []
    budget = Budget(POLICY_BUDGET, trial)
    try:
        for index, validation in enumerate(policy.validations):
            result = budget.run(validation.program, everything)
            if result.error:
                decisions.append(_failed(policy, index, result.error))
            elif result.value is not True:
                decisions.append(_denied(policy, index, validation, everything, budget))
    except ExhaustedError as error:
        return Outcome([_failed(policy, 0, str(error))], [], failures)
    annotations: list[tuple[str, str]] = []
    try:
        decisions += _annotations(policy, everything, Budget(POLICY_BUDGET, trial), annotations)
    except ExhaustedError as error:
        return Outcome([_failed(policy, 0, str(error))], [], failures)
    return Outcome(decisions, annotations, failures)


def _failed(policy: Policy, index: int, message: str) -> Decision:
    return Decision(index, policy.closed, message, "", error=True)


def _denied(
    policy: Policy, index: int, validation: Validation, variables: Mapping[str, Any], budget: Budget
) -> Decision:
    message = ""
    if validation.message is not None:
        try:
            found = budget.run(validation.message, variables).value
        except ExhaustedError as error:
            return _failed(policy, index, f"failed messageExpression: {error}")
        # Words that can't stand in a header or an answer's line leave the word to the rule's own message.
        if isinstance(found, str) and "\n" not in found.strip() and len(found.strip().encode()) <= _MOST_MESSAGE:
            message = found.strip()
    message = message or validation.told or f"failed expression: {validation.text.strip()}"
    return Decision(index, True, message, validation.reason, error=False)


def _annotations(
    policy: Policy, variables: Mapping[str, Any], budget: Budget, found: list[tuple[str, str]]
) -> list[Decision]:
    troubles = []
    for index, annotation in enumerate(policy.annotations):
        result = budget.run(annotation.program, variables)
        if result.error:
            if policy.closed:
                troubles.append(_failed(policy, index, result.error))
        elif isinstance(result.value, str):
            value = result.value.strip()
            if value:
                found.append((annotation.key, value.encode()[:_MOST_ANNOTATION].decode("utf-8", "ignore")))
        elif result.value is not None:
            why = (
                f"valueExpression '{annotation.text}' resulted in unsupported return type: "
                f"{type(result.value).__name__}. Return type must be either string or null."
            )
            troubles.append(Decision(index, True, why, "", error=True))
    return troubles
