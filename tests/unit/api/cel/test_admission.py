"""What expressions of admission can do beyond those of CRDs: patches, variables, the authorizer, shared budgets."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api.cel import programs
from keelson.api.cel.conditions import Condition, holds
from keelson.api.cel.environments import OPERATIONS, PATCHED, Environment, ExpressionError
from keelson.api.cel.evaluations import Budget, CostlyError, ExhaustedError
from keelson.api.cel.library.authorization import CHECK_COST, Answer, AuthorizerValue, Question, ResourceCheck
from keelson.api.cel.programs import Composition
from keelson.api.cel.values import EvalError, StructValue, to_json

_PLENTY = 10_000_000


def _run(source: str, *returns: Any, patches: bool = False, **variables: Any) -> Any:
    environment = Environment(has_params=True)
    everything: dict[str, Any] = {
        "object": None,
        "oldObject": None,
        "params": None,
        "request": {},
        "namespaceObject": None,
    }
    program = environment.compile(source, *returns, patches=patches) if returns else environment.condition(source)
    return Budget(_PLENTY).run(program, everything | variables)


def test_variables_that_are_absent_are_null() -> None:
    assert _run("object == null && oldObject == null && params == null && namespaceObject == null").value is True
    assert _run("namespaceObject.metadata.name == 'a'", namespaceObject={"metadata": {"name": "a"}}).value is True


def test_an_objects_patch_is_made_of_named_parts() -> None:
    source = "Object{spec: Object.spec{replicas: 1, ?paused: optional.none(), list: [Object.spec.list{a: 'b'}]}}"
    found = _run(source, PATCHED, patches=True).value
    assert isinstance(found, StructValue)
    assert to_json(found) == {"spec": {"replicas": 1, "list": [{"a": "b"}]}}
    assert found["spec"].type_name == "Object.spec"


def test_operations_are_checked() -> None:
    source = "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c~d'), value: Object{x: 1}}]"
    assert to_json(_run(source, OPERATIONS, patches=True).value) == [
        {"op": "add", "path": "/a/b~1c~0d", "value": {"x": 1}}
    ]
    with pytest.raises(ExpressionError, match="undefined field 'operation'"):
        _run("[JSONPatch{operation: 'add'}]", OPERATIONS, patches=True)
    with pytest.raises(ExpressionError, match="undeclared reference to 'Object'"):
        _run("Object{}", PATCHED)


def test_variables_are_evaluated_once_and_only_when_read() -> None:
    environment = Environment(composes=True)
    assert not environment.compose("dear", "[1,2,3].map(x, [1,2,3].map(y, x * y)).size()")
    assert "compilation failed" in environment.compose("broken", "nonsense(")
    assert not environment.compose("failing", "object.absent")
    variables: dict[str, Any] = {"object": {}}

    def cost(source: str) -> int:
        composed = {**variables, "variables": Composition(environment.composed, variables)}
        return environment.condition(source).run(composed)[1]

    once, twice = cost("variables.dear == 3"), cost("variables.dear == 3 && variables.dear == 3")
    assert once > 50
    assert twice - once < 10
    composed = {**variables, "variables": Composition(environment.composed, variables)}
    for name, why in (("failing", "fails to evaluate: no such key: absent"), ("broken", "fails to compile")):
        told = Budget(_PLENTY).run(environment.condition(f"variables.{name} == 1"), composed).error
        assert f'composited variable "{name}" {why}' in told


def test_the_authorizer_is_asked_what_the_expression_says() -> None:
    asked: list[Question] = []

    def ask(question: Question) -> Answer:
        asked.append(question)
        return Answer(question.verb == "create", "because")

    own = ResourceCheck(ask, Question(None, "", resource="pods", namespace="team"))
    known: dict[str, Any] = {"authorizer": AuthorizerValue(ask), "authorizer.requestResource": own}
    checks = "authorizer.group('apps').resource('deployments').subresource('scale').namespace('a').name('b')"
    assert _run(f"{checks}.check('create').allowed()", **known).value is True
    assert asked.pop() == Question(None, "create", "", "apps", "deployments", "scale", "a", "b")
    assert _run("authorizer.requestResource.check('delete').reason() == 'because'", **known).value is True
    assert asked.pop() == Question(None, "delete", resource="pods", namespace="team")
    assert _run("authorizer.serviceAccount('a', 'b').path('/healthz').check('get').allowed()", **known).value is False
    assert asked.pop() == Question(("a", "b"), "get", "/healthz")
    for wrong, why in (
        ("authorizer.path(' ').check('get').allowed()", "path must not be empty"),
        ("authorizer.group('').resource('').check('get').allowed()", "resource must not be empty"),
        ("authorizer.serviceAccount('a', 'B!').path('/').check('get').allowed()", "Invalid service account name"),
    ):
        assert why in _run(wrong, **known).error
    assert not asked


def test_a_trial_ends_before_anybody_is_asked() -> None:
    program = Environment().condition("authorizer.path('/').check('get').allowed()")

    def ask(_question: Question) -> Answer:
        raise AssertionError("asked in a trial")

    with pytest.raises(CostlyError):
        Budget(_PLENTY, CHECK_COST - 1).run(program, {"authorizer": AuthorizerValue(ask)})


def test_a_budget_is_shared_and_failures_count() -> None:
    environment = Environment()
    dear = environment.condition("object.items.all(x, x >= 0)")
    # An error that nothing decides is only known at the end.
    failing = environment.condition("object.items.all(x, x >= 0 && object.absent == x)")
    variables = {"object": {"items": list(range(1000))}}
    cost = dear.run(variables)[1]
    with pytest.raises(EvalError) as caught:
        failing.run(variables)
    budget = Budget(cost + 2 * caught.value.cost)
    assert budget.run(dear, variables).value is True
    assert budget.run(failing, variables).error
    assert budget.run(failing, variables).error
    with pytest.raises(ExhaustedError, match="running out of cost budget"):
        budget.run(dear, variables)


@pytest.mark.parametrize(
    ("sources", "closed", "verdict"),
    [
        (["true", "true"], True, (True, "", 0)),
        (["object.absent == 1", "false"], True, (False, "", 1)),
        (["object.absent == 1", "true"], False, (False, "", 1)),
        (["true", "object.absent == 1"], True, (False, "expression 'object.absent == 1' resulted in error: ", 1)),
    ],
)
def test_conditions_hold_together(sources: list[str], closed: bool, verdict: tuple[bool, str, int]) -> None:
    environment = Environment()
    conditions = [Condition(str(number), environment.condition(each)) for number, each in enumerate(sources)]
    found = holds(conditions, {"object": {}}, Budget(_PLENTY), closed=closed)
    assert (found.matches, found.error.startswith(verdict[1]), found.errors) == (verdict[0], True, verdict[2])


def test_an_expression_has_a_most_size() -> None:
    environment = Environment()
    environment.condition(f"'{'a' * 99_990}' != ''")
    with pytest.raises(ExpressionError, match="expression code point size exceeds limit: size: 100007, limit 100000"):
        environment.condition(f"'{'a' * 99_999}' != ''")


def test_structs_are_no_maps() -> None:
    program = programs.compile("Object{a: 1} == Object{a: 1} && Object{a: 1}.a == 1", {}, patches=True)
    assert program.run({})[0] is True
