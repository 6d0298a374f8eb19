"""ValidatingAdmissionPolicy: the object as it will be stored is held against the rules of every policy in force.

Reads ValidatingAdmissionPolicies, their bindings and parameters. What fails is refused, warned of or noted for the
audit log, as the binding says.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import orjson

from keelson.api import errors
from keelson.kube_apiserver.admission import expressions, metrics
from keelson.kube_apiserver.admission.cases import Case
from keelson.kube_apiserver.admission.chains import Attributes
from keelson.kube_apiserver.admission.matching import is_exempt

from .configured import Configured
from .matches import Match

if TYPE_CHECKING:
    from .decisions.validations import Decision
    from .definitions import Binding, Policy

_FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


class ValidatingPolicies(Configured):
    """The plugin."""

    name = "ValidatingAdmissionPolicy"
    resources = (
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    )

    async def validate(self, attributes: Attributes) -> None:
        """Judge by every policy that the request matches. Raises StatusError where one denies it."""
        if is_exempt(attributes):
            return
        case = Case(attributes, self._catalogue, self._lookups)
        denial: errors.StatusError | None = None
        noted: dict[str, list[str]] = {}
        async for match in self._in_force.matches(case):
            if match.problem:
                if match.policy.closed:
                    denial = denial or _denied(attributes, match.policy, match.binding, match.problem)
                continue
            refused = await self._judged(case, match, noted)
            denial = denial or refused
        for key, values in noted.items():
            attributes.context.annotations[key] = ", ".join(values)
        if denial is not None:
            raise denial

    async def _judged(self, case: Case, match: Match, noted: dict[str, list[str]]) -> errors.StatusError | None:
        """The denial, if the policy denies it with this parameter."""
        from .decisions.validations import judged

        policy, binding = match.policy, match.binding
        assert binding is not None
        variables = self._expressions.variables(
            case, await case.shown(match.resource), params=match.param, namespace=await case.namespace()
        )
        started = time.perf_counter()
        outcome = await expressions.decided(partial(judged, policy, variables))
        seconds = time.perf_counter() - started
        if policy.conditions:
            metrics.conditions(
                policy.name, "policy", metrics.VALIDATING, case.attributes.operation, seconds,
                errors=outcome.condition_errors, excluded=outcome.excluded,
            )  # fmt: skip
        denial: errors.StatusError | None = None
        for decision in outcome.decisions:
            told = decision.message if decision.error else ""
            if not decision.denies:
                metrics.policy_checked(policy.name, binding.name, "allow", seconds, told)
                continue
            for action in binding.actions:
                metrics.policy_checked(policy.name, binding.name, action.lower(), seconds, told or "denied")
                if action == "Deny":
                    denial = denial or _denied(case.attributes, policy, binding, decision.message, decision.reason)
                elif action == "Warn":
                    text = f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding "
                    _warn(case.attributes, f"{text}'{binding.name}': {decision.message}")
                else:
                    _note(case.attributes, policy, binding, decision)
        for key, value in outcome.annotations:
            values = noted.setdefault(f"{policy.name}/{key}", [])
            if value not in values:
                values.append(value)
        return denial


def _warn(attributes: Attributes, text: str) -> None:
    if text not in attributes.context.warnings:
        attributes.context.warnings.append(text)


def _note(attributes: Attributes, policy: Policy, binding: Binding, decision: Decision) -> None:
    failure = {
        "message": decision.message,
        "policy": policy.name,
        "binding": binding.name,
        "expressionIndex": decision.position,
        "validationActions": list(binding.actions),
    }
    attributes.context.annotations.setdefault(_FAILURE, orjson.dumps([failure]).decode())


def _denied(
    attributes: Attributes, policy: Policy, binding: Binding | None, message: str, reason: str = ""
) -> errors.StatusError:
    by = f" with binding '{binding.name}'" if binding is not None else ""
    message = f"ValidatingAdmissionPolicy '{policy.name}'{by} denied request: {message}"
    resource = attributes.resource
    error = errors.forbidden(resource.plural, attributes.name, message, group=resource.group)
    error.reason = reason or "Invalid"
    error.code = _CODES.get(error.reason, 422)
    error.details["causes"] = [{"message": message}]
    return error
