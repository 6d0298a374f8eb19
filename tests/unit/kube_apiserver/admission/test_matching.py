"""Which requests rules and selectors match: operations, groups, scopes, subresources, names, other versions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from keelson.api import resources
from keelson.api.resources import Resource
from keelson.kube_apiserver.admission.chains import CREATE, DELETE, UPDATE, Attributes
from keelson.kube_apiserver.admission.matching import Criteria, is_exempt
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_CONTEXT = Context(LOOPBACK, RequestInfo(True, "create", ""), datetime(2026, 1, 1, tzinfo=UTC))


def _request(qualified: str = "pods", operation: str = CREATE, **more: Any) -> Attributes:
    resource = resources.lookup(qualified)
    namespace = more.pop("namespace", "team" if resource.namespaced else "")
    more = {"object": {"metadata": {"name": "one"}}} | more
    return Attributes(_CONTEXT, operation, resource, namespace, "one", **more)


def _rule(**changes: Any) -> dict[str, Any]:
    return {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]} | changes


def _matches(attributes: Attributes, *rules: dict[str, Any], **more: Any) -> bool:
    return Criteria(more, rules).resource(attributes, lambda: ()) is not None


@pytest.mark.parametrize(
    ("changes", "matches"),
    [
        ({}, True),
        ({"operations": ["UPDATE"]}, False),
        ({"operations": ["*"]}, True),
        ({"apiGroups": ["apps"]}, False),
        ({"apiGroups": ["*"], "apiVersions": ["*"]}, True),
        ({"resources": ["*"]}, True),
        ({"resources": ["*/*"]}, True),
        ({"resources": ["pods/*"]}, True),
        ({"resources": ["pods/status"]}, False),
        ({"resources": ["secrets", "pods"]}, True),
        ({"scope": "Cluster"}, False),
        ({"scope": "Namespaced"}, True),
        ({"resourceNames": ["two"]}, False),
        ({"resourceNames": ["two", "one"]}, True),
    ],
)
def test_a_rule_matches_what_it_names(changes: dict[str, Any], matches: bool) -> None:
    assert _matches(_request(), _rule(**changes)) is matches


def test_subresources_are_named_apart() -> None:
    status = _request(subresource="status", operation=UPDATE)
    assert not _matches(status, _rule(operations=["*"]))
    assert not _matches(status, _rule(operations=["*"], resources=["*"]))
    for resource in ("pods/status", "*/status", "pods/*", "*/*"):
        assert _matches(status, _rule(operations=["*"], resources=[resource]))


def test_namespaces_are_the_clusters_though_requests_carry_their_name() -> None:
    request = _request("namespaces", UPDATE, namespace="one")
    rule = _rule(resources=["namespaces"], operations=["*"])
    assert _matches(request, {**rule, "scope": "Cluster"})
    assert not _matches(request, {**rule, "scope": "Namespaced"})


def test_what_is_excluded_is_not_matched() -> None:
    excluded = [_rule(resourceNames=["one"])]
    assert not _matches(_request(), _rule(), excludeResourceRules=excluded)
    assert _matches(_request(), _rule(), excludeResourceRules=[_rule(resourceNames=["other"])])


def test_without_rules_everything_is_matched() -> None:
    assert _matches(_request("nodes", DELETE))


def test_a_rule_for_another_version_matches_by_it_unless_exactly_that_is_asked_for() -> None:
    request = _request("events")
    other = resources.lookup("events.events.k8s.io")

    def equivalents() -> list[Resource]:
        return [other]

    rule = _rule(apiGroups=["events.k8s.io"], resources=["events"])
    assert Criteria({}, [rule]).resource(request, equivalents) is other
    assert Criteria({"matchPolicy": "Exact"}, [rule]).resource(request, equivalents) is None
    # What is asked for itself comes first, even if its rule comes last.
    own = _rule(resources=["events"])
    assert Criteria({}, [rule, own]).resource(request, equivalents) is request.resource


def test_the_object_or_what_it_was_is_selected() -> None:
    labelled = {"metadata": {"labels": {"a": "b"}}}
    criteria = Criteria({"objectSelector": {"matchLabels": {"a": "b"}}}, [_rule()])
    assert not criteria.selects_object(_request())
    assert criteria.selects_object(_request(object=labelled))
    assert criteria.selects_object(_request(operation=UPDATE, old=labelled))
    assert criteria.selects_object(_request(operation=DELETE, object=None, old=labelled))
    # Options of a connection have no labels, and not even an empty selector of labels asks for any.
    options = _request(object={"kind": "PodExecOptions"})
    absent = Criteria({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}}, [_rule()])
    assert not absent.selects_object(options)
    assert Criteria({}, [_rule()]).selects_object(options)


def test_a_namespace_is_looked_at_only_where_it_decides() -> None:
    selecting = Criteria({"namespaceSelector": {"matchLabels": {"a": "b"}}}, [_rule()])
    assert selecting.needs_namespace(_request())
    assert selecting.needs_namespace(_request("namespaces"))
    assert not selecting.needs_namespace(_request("nodes"))
    assert not Criteria({}, [_rule()]).needs_namespace(_request())


def test_configurations_of_admission_are_exempt() -> None:
    group = "admissionregistration.k8s.io"
    for plural in ("validatingwebhookconfigurations", "mutatingadmissionpolicies", "validatingadmissionpolicybindings"):
        assert is_exempt(_request(f"{plural}.{group}"))
    assert not is_exempt(_request())
