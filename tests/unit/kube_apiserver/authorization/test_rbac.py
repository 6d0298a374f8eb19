"""RBAC: what rules allow, who is bound, and that nobody can grant more than they hold."""

from collections.abc import Iterable
from typing import Any

import pytest

from keelson.kube_apiserver.authorization import rbac as rules
from keelson.kube_apiserver.authorization.rbac import Rbac
from keelson.kube_apiserver.bootstrap import policies
from keelson.kube_apiserver.caches.collections import Collection
from keelson.kube_apiserver.caches.items import Indexer
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving import request_infos

ALICE = User("alice", ("dev", "system:authenticated"))
KINDS = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


class Policy:
    """An authoriser over these objects; `put` adds to them."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self._objects: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self._collections = {kind: Collection(f"/{kind}/", Indexer(())) for kind in KINDS}
        self.rbac = Rbac(*self._collections.values())
        self.put(*objects)

    def put(self, *objects: dict[str, Any]) -> None:
        for obj in objects:
            self._objects[obj["kind"]].append(obj)
        self._show()

    def clear(self, kind: str) -> None:
        self._objects[kind].clear()
        self._show()

    def _show(self) -> None:
        for kind, collection in self._collections.items():
            collection.replace(self._items(collection, self._objects[kind]), 1)

    def _items(self, collection: Collection, objects: Iterable[dict[str, Any]]) -> list[Any]:
        made = []
        for obj in objects:
            head = obj["metadata"]
            place = f"{head['namespace']}/" if head.get("namespace") else ""
            copied = {**obj, "metadata": dict(head)}
            made.append(collection.indexer.item(f"{collection.prefix}{place}{head['name']}", copied, 1))
        return made


def _role(kind: str, name: str, namespace: str, *found: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": list(found)}


def _binding(namespace: str, role_kind: str, role: str, *subjects: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": f"bind-{role}", "namespace": namespace},
        "roleRef": {"kind": role_kind, "name": role},
        "subjects": list(subjects),
    }


def _may(policy: Policy, user: User, method: str, path: str, **more: Any) -> bool:
    return bool(policy.rbac.authorize(user, request_infos.of(method, path, **more)).allowed)


READ_PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}


def test_a_role_holds_in_its_namespace_alone() -> None:
    policy = Policy()
    policy.put(_role("Role", "reader", "a", READ_PODS))
    policy.put(_binding("a", "Role", "reader", {"kind": "Group", "name": "dev"}))
    assert _may(policy, ALICE, "GET", "/api/v1/namespaces/a/pods/x")
    assert _may(policy, ALICE, "GET", "/api/v1/namespaces/a/pods/x/log")
    assert not _may(policy, ALICE, "GET", "/api/v1/namespaces/a/pods/x/exec")
    assert not _may(policy, ALICE, "DELETE", "/api/v1/namespaces/a/pods/x")
    assert not _may(policy, ALICE, "GET", "/api/v1/namespaces/b/pods/x")
    assert not _may(policy, ALICE, "GET", "/api/v1/pods")
    assert not _may(policy, User("bob"), "GET", "/api/v1/namespaces/a/pods/x")


def test_a_cluster_role_bound_in_a_namespace_holds_there() -> None:
    policy = Policy()
    policy.put(_binding("a", "ClusterRole", "reader", {"kind": "ServiceAccount", "name": "app"}))
    account = User("system:serviceaccount:a:app")
    assert not _may(policy, account, "GET", "/api/v1/namespaces/a/pods")
    policy.put(_role("ClusterRole", "reader", "", READ_PODS))
    assert _may(policy, account, "GET", "/api/v1/namespaces/a/pods")
    policy.clear("ClusterRole")
    assert not _may(policy, account, "GET", "/api/v1/namespaces/a/pods")


def test_names_and_urls() -> None:
    policy = Policy()
    one = {"verbs": ["get", "update"], "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"]}
    urls = {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/api/*"]}
    policy.put(_role("ClusterRole", "some", "", one, urls))
    policy.put(_binding("", "ClusterRole", "some", {"kind": "User", "name": "alice"}))
    assert _may(policy, ALICE, "PUT", "/apis/apps/v1/namespaces/a/deployments/web")
    assert not _may(policy, ALICE, "PUT", "/apis/apps/v1/namespaces/a/deployments/other")
    assert not _may(policy, ALICE, "GET", "/apis/apps/v1/namespaces/a/deployments")
    assert _may(policy, ALICE, "GET", "/metrics")
    assert _may(policy, ALICE, "GET", "/api/v1")
    assert not _may(policy, ALICE, "GET", "/metrics/slis")


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
    assert (rules.covers([held], [wanted]) == []) is covered


def test_the_default_policy_serves_the_daemons_and_no_more() -> None:
    policy = Policy(
        *policies.cluster_roles(), *policies.cluster_role_bindings(), *policies.roles(), *policies.role_bindings()
    )
    scheduler = User("system:kube-scheduler", ("system:authenticated",))
    assert _may(policy, scheduler, "POST", "/api/v1/namespaces/a/pods/x/binding")
    assert _may(policy, scheduler, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler")
    assert not _may(policy, scheduler, "GET", "/api/v1/namespaces/a/secrets/x")
    proxy = User("system:kube-proxy", ("system:authenticated",))
    assert _may(policy, proxy, "GET", "/apis/discovery.k8s.io/v1/endpointslices", watch=True)
    assert not _may(policy, proxy, "GET", "/api/v1/pods")
    stranger = User("system:anonymous", ("system:unauthenticated",))
    assert _may(policy, stranger, "GET", "/healthz")
    assert not _may(policy, stranger, "GET", "/api")
    node = User("system:node:n", ("system:nodes", "system:authenticated"))
    assert not _may(policy, node, "GET", "/api/v1/nodes")


def test_default_names_are_unique() -> None:
    objects = [*policies.cluster_roles(), *policies.cluster_role_bindings()]
    keys = [(obj["kind"], obj["metadata"]["name"]) for obj in objects]
    assert len(keys) == len(set(keys))
