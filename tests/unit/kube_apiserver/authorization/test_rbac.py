"""RBAC: what rules allow, who is bound, and that nobody can grant more than they hold."""

from typing import Any

import pytest

from keelson.kube_apiserver.authorization import bootstrap_policy
from keelson.kube_apiserver.authorization.rbac import Rbac, Rule
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving import request_infos

ALICE = User("alice", ("dev", "system:authenticated"))


def _role(kind: str, name: str, namespace: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": list(rules)}


def _binding(namespace: str, role_kind: str, role: str, *subjects: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": f"bind-{role}", "namespace": namespace},
        "roleRef": {"kind": role_kind, "name": role},
        "subjects": list(subjects),
    }


def _may(rbac: Rbac, user: User, method: str, path: str, **more: Any) -> bool:
    return bool(rbac.authorize(user, request_infos.of(method, path, **more)).allowed)


READ_PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}


def test_a_role_holds_in_its_namespace_alone() -> None:
    rbac = Rbac()
    rbac.put(_role("Role", "reader", "a", READ_PODS))
    rbac.put(_binding("a", "Role", "reader", {"kind": "Group", "name": "dev"}))
    assert _may(rbac, ALICE, "GET", "/api/v1/namespaces/a/pods/x")
    assert _may(rbac, ALICE, "GET", "/api/v1/namespaces/a/pods/x/log")
    assert not _may(rbac, ALICE, "GET", "/api/v1/namespaces/a/pods/x/exec")
    assert not _may(rbac, ALICE, "DELETE", "/api/v1/namespaces/a/pods/x")
    assert not _may(rbac, ALICE, "GET", "/api/v1/namespaces/b/pods/x")
    assert not _may(rbac, ALICE, "GET", "/api/v1/pods")
    assert not _may(rbac, User("bob"), "GET", "/api/v1/namespaces/a/pods/x")


def test_a_cluster_role_bound_in_a_namespace_holds_there() -> None:
    rbac = Rbac()
    rbac.put(_binding("a", "ClusterRole", "reader", {"kind": "ServiceAccount", "name": "app"}))
    account = User("system:serviceaccount:a:app")
    assert not _may(rbac, account, "GET", "/api/v1/namespaces/a/pods")
    rbac.put(_role("ClusterRole", "reader", "", READ_PODS))
    assert _may(rbac, account, "GET", "/api/v1/namespaces/a/pods")
    rbac.remove(_role("ClusterRole", "reader", ""))
    assert not _may(rbac, account, "GET", "/api/v1/namespaces/a/pods")


def test_names_and_urls() -> None:
    rbac = Rbac()
    one = {"verbs": ["get", "update"], "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"]}
    urls = {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/api/*"]}
    rbac.put(_role("ClusterRole", "some", "", one, urls))
    rbac.put(_binding("", "ClusterRole", "some", {"kind": "User", "name": "alice"}))
    assert _may(rbac, ALICE, "PUT", "/apis/apps/v1/namespaces/a/deployments/web")
    assert not _may(rbac, ALICE, "PUT", "/apis/apps/v1/namespaces/a/deployments/other")
    assert not _may(rbac, ALICE, "GET", "/apis/apps/v1/namespaces/a/deployments")
    assert _may(rbac, ALICE, "GET", "/metrics")
    assert _may(rbac, ALICE, "GET", "/api/v1")
    assert not _may(rbac, ALICE, "GET", "/metrics/slis")


@pytest.mark.parametrize(
    ("held", "wanted", "covered"),
    [
        (READ_PODS, {**READ_PODS, "verbs": ["get"]}, True),
        (READ_PODS, {**READ_PODS, "verbs": ["*"]}, False),
        (READ_PODS, {**READ_PODS, "resources": ["secrets"]}, False),
        (READ_PODS, {**READ_PODS, "resourceNames": ["x"]}, True),
        ({**READ_PODS, "resourceNames": ["x"]}, READ_PODS, False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, READ_PODS, True),
        ({"verbs": ["*"], "nonResourceURLs": ["/a/*"]}, {"verbs": ["get"], "nonResourceURLs": ["/a/b"]}, True),
        ({"verbs": ["*"], "nonResourceURLs": ["/a"]}, {"verbs": ["get"], "nonResourceURLs": ["/a/*"]}, False),
    ],
)
def test_nobody_grants_more_than_they_hold(held: dict[str, Any], wanted: dict[str, Any], covered: bool) -> None:
    rbac = Rbac()
    rbac.put(_role("ClusterRole", "held", "", held))
    rbac.put(_binding("", "ClusterRole", "held", {"kind": "User", "name": "alice"}))
    assert (rbac.missing(ALICE, "a", [Rule.of(wanted)]) == []) is covered


def test_the_default_policy_serves_the_daemons_and_no_more() -> None:
    rbac = Rbac()
    for obj in (
        *bootstrap_policy.cluster_roles(),
        *bootstrap_policy.cluster_role_bindings(),
        *bootstrap_policy.namespaced(),
    ):
        rbac.put(obj)
    scheduler = User("system:kube-scheduler", ("system:authenticated",))
    assert _may(rbac, scheduler, "POST", "/api/v1/namespaces/a/pods/x/binding")
    assert _may(rbac, scheduler, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler")
    assert not _may(rbac, scheduler, "GET", "/api/v1/namespaces/a/secrets/x")
    proxy = User("system:kube-proxy", ("system:authenticated",))
    assert _may(rbac, proxy, "GET", "/apis/discovery.k8s.io/v1/endpointslices", watch=True)
    assert not _may(rbac, proxy, "GET", "/api/v1/pods")
    stranger = User("system:anonymous", ("system:unauthenticated",))
    assert _may(rbac, stranger, "GET", "/healthz")
    assert not _may(rbac, stranger, "GET", "/api")
    node = User("system:node:n", ("system:nodes", "system:authenticated"))
    assert not _may(rbac, node, "GET", "/api/v1/nodes")


def test_default_names_are_unique() -> None:
    objects = [*bootstrap_policy.cluster_roles(), *bootstrap_policy.cluster_role_bindings()]
    keys = [(obj["kind"], obj["metadata"]["name"]) for obj in objects]
    assert len(keys) == len(set(keys))
