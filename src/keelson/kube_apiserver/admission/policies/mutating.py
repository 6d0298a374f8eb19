"""MutatingAdmissionPolicy: changes in CEL, made before webhooks see the object (KEP-3962).

Reads MutatingAdmissionPolicies, their bindings and parameters. Policies are applied one after the other in the order of
their names; as with webhooks, a change makes the mutating chain run once more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from keelson.api import errors, meta, schemas
from keelson.api.meta import Object
from keelson.api.schemas import Kind, Schema
from keelson.kube_apiserver.admission import expressions, metrics
from keelson.kube_apiserver.admission.cases import Case, Shown
from keelson.kube_apiserver.admission.chains import Attributes
from keelson.kube_apiserver.admission.matching import is_exempt
from keelson.kube_apiserver.admission.rounds import Rounds, conform

from .configured import Configured
from .matches import Match

if TYPE_CHECKING:
    from keelson.api.cel.conditions import Verdict

    from .definitions import Mutation, Policy


class MutatingPolicies(Configured):
    """The plugin."""

    name = "MutatingAdmissionPolicy"
    resources = (
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    )

    async def mutate(self, attributes: Attributes) -> None:
        """Apply every policy that the request matches. Raises StatusError where one fails and may not."""
        if is_exempt(attributes) or attributes.object is None:
            return
        case = Case(attributes, self._catalogue, self._lookups)
        again, rounds = Rounds.of(attributes, self.name)
        rounds.begin(again, attributes.object)
        problems: list[str] = []
        try:
            # Who is concerned is decided by the object as it was before any of them.
            for match in [match async for match in self._in_force.matches(case)]:
                identity = _identity(match)
                problem = match.problem
                if not problem:
                    before = rounds.snapshot(attributes.object)
                    called, problem = await self._applied(case, match, due=rounds.is_due(again, identity))
                    if attributes.object != before:
                        rounds.require()
                        again.wanted = True
                    if called and match.policy.is_reinvoked:
                        rounds.called(identity)
                if problem and match.policy.closed:
                    problems.append(_told(match, problem))
        finally:
            rounds.end(attributes.object)
        if problems:
            resource = attributes.resource
            error = errors.forbidden(resource.plural, attributes.name, "", group=resource.group)
            error.message, error.reason = problems[0], "Invalid"
            error.details["causes"] = [{"message": problem} for problem in problems]
            raise error

    async def _applied(self, case: Case, match: Match, *, due: bool) -> tuple[bool, str]:
        """(whether the policy was called, the first problem)."""
        policy, namespace = match.policy, await case.namespace()
        shown = await case.draft(match.resource)
        if policy.conditions:
            started = time.perf_counter()
            verdict = await self._conditions(case, shown, match, namespace)
            metrics.conditions(
                policy.name, "policy", metrics.MUTATING, case.attributes.operation, time.perf_counter() - started,
                errors=verdict.errors, excluded=not verdict.matches and not verdict.error,
            )  # fmt: skip
            if not verdict.matches:
                return False, verdict.error
        if not due:
            return False, ""
        problem = ""
        for mutation in policy.mutations:
            problem = await self._mutated(case, match, mutation, namespace) or problem
        return True, problem

    async def _conditions(self, case: Case, shown: Shown, match: Match, namespace: Object | None) -> Verdict:
        from keelson.api.cel import conditions
        from keelson.api.cel.environments import CONDITIONS_BUDGET
        from keelson.api.cel.evaluations import Budget

        policy = match.policy
        found = self._expressions.variables(case, shown, params=match.param, namespace=namespace)

        def decide(trial: int | None) -> Verdict:
            budget = Budget(CONDITIONS_BUDGET, trial)
            return conditions.holds(policy.conditions, _composed(policy, found), budget, closed=policy.closed)

        return await expressions.decided(decide)

    async def _mutated(self, case: Case, match: Match, mutation: Mutation, namespace: Object | None) -> str:
        """Make one mutation; what went wrong, "" where nothing did. Raises StatusError 500."""
        from .decisions.mutations import MutationError, mutated

        assert match.binding is not None
        shown = await case.draft(match.resource)
        obj = shown.object
        if obj is None:
            return ""
        started, problem = time.perf_counter(), ""

        found = self._expressions.variables(case, shown, params=match.param, namespace=namespace)

        def decide(trial: int | None) -> Object:
            return mutated(mutation, self._schema(case, shown), obj, _composed(match.policy, found), trial)

        try:
            new = await expressions.decided(decide)
        except MutationError as error:
            problem = str(error)
        else:
            if new != obj:
                problem = await self._accepted(case, shown, mutation, new)
        metrics.mutated(match.policy.name, match.binding.name, time.perf_counter() - started, problem)
        return problem

    async def _accepted(self, case: Case, shown: Shown, mutation: Mutation, new: Object) -> str:
        """Take a mutated object over; why it can't be, "" where it can. Raises StatusError 500."""
        try:
            strict = "Ignore" if mutation.applies else "Strict"
            conform(case.served(shown.resource), shown, new, field_validation=strict)
        except errors.StatusError as error:
            if mutation.applies:
                return f"error applying patch: failed to convert patch object to typed object: {error.message}"
            raise errors.internal(error.message) from error
        await case.accept(shown, new)
        return ""

    def _schema(self, case: Case, shown: Shown) -> Schema:
        served = case.served(shown.resource)
        if served is not None and shown.kind.kind == shown.resource.kind:
            return served.schema
        return schemas.of(Kind(shown.kind.api_version, shown.kind.kind))


def _composed(policy: Policy, found: dict[str, object]) -> dict[str, object]:
    from keelson.api.cel.programs import Composition

    return {**found, "variables": Composition(policy.composed, found)}


def _identity(match: Match) -> str:
    binding = match.binding.name if match.binding is not None else ""
    param = match.param or {}
    return "/".join((match.policy.name, binding, meta.namespace(param), meta.name(param)))


def _told(match: Match, problem: str) -> str:
    if match.binding is None:
        return f'policy "{match.policy.name}" denied request: {problem}'
    return f"policy '{match.policy.name}' with binding '{match.binding.name}' denied request: {problem}"
