"""Whom a request acts as, by which mode, and what each of them asks for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from keelson.api.errors import StatusError
from keelson.kube_apiserver.authentication.impersonation import Impersonations, wanted
from keelson.kube_apiserver.authorization.unions import Verdict
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving import request_infos
from keelson.kube_apiserver.serving.messages import Request
from keelson.kube_apiserver.serving.request_infos import RequestInfo

LIST = request_infos.of("GET", "/api/v1/namespaces/default/pods")
AGENT = User(
    "system:serviceaccount:kube-system:agent",
    ("system:serviceaccounts",),
    extra={"authentication.kubernetes.io/node-name": ("n1",), "authentication.kubernetes.io/pod-name": ("p",)},
)


class Permissions:
    """Allows what it was told, and remembers what it was asked."""

    def __init__(self, *allowed: str) -> None:
        self._allowed = frozenset(allowed)
        self.asked: list[str] = []
        self.users: list[User] = []

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        asked = " ".join(filter(None, (info.verb, info.group, resource, info.namespace, info.name)))
        self.asked.append(asked)
        self.users.append(user)
        return Verdict(asked in self._allowed or None)

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        return False


def request(lines: Sequence[tuple[str, str]]) -> Request:
    headers: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for name, value in lines:
        key, text = f"impersonate-{name}", value.encode().decode("latin-1")
        if key in headers:
            repeated.setdefault(key, [headers[key]]).append(text)
            text = f"{headers[key]}, {text}"
        headers[key] = text
    found = Request("GET", "/api/v1/namespaces/default/pods", headers, b"", None)
    found.repeated = repeated
    return found


async def test_values_are_lines_and_not_what_commas_part() -> None:
    found = wanted(request([("user", "jürgen, der"), ("group", "a, b"), ("group", "c"), ("extra-a%2fb", "x, y")]))
    assert found is not None
    assert (found.name, found.groups, found.extra) == ("jürgen, der", ["a, b", "c"], {"a/b": ["x, y"]})


async def test_headers_that_ask_for_nothing() -> None:
    assert wanted(request([("user", ""), ("foo", "x")])) is None


async def test_a_group_alone_is_nobody() -> None:
    with pytest.raises(StatusError) as caught:
        wanted(request([("group", 'a"')]))
    assert caught.value.message == (
        r'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"a\""}, Extra:map[string][]string(nil)} '
        "without impersonating a user name"
    )


async def test_the_oldest_mode_lets_do_everything() -> None:
    permissions = Permissions("impersonate users bob", "impersonate groups dev")
    impersonations = Impersonations(permissions)
    asking = request([("user", "bob"), ("group", "dev")])
    found = await impersonations.applied(User("eve"), asking, LIST)
    assert found == (User("bob", ("dev", "system:authenticated")), "")
    # The mode that served him last is asked first.
    permissions.asked.clear()
    assert await impersonations.applied(User("eve"), asking, LIST) == found
    assert permissions.asked == ["impersonate users bob", "impersonate groups dev"]


async def test_constrained_to_what_is_done() -> None:
    impersonate = "impersonate:user-info authentication.k8s.io users bob"
    permissions = Permissions(impersonate, "impersonate-on:user-info:list pods default")
    impersonations = Impersonations(permissions)
    asking = request([("user", "bob")])
    found = await impersonations.applied(User("eve"), asking, LIST)
    assert found == (User("bob", ("system:authenticated",)), "impersonate:user-info")
    with pytest.raises(StatusError) as caught:
        await impersonations.applied(User("eve"), asking, LIST._replace(verb="watch"))
    assert 'User "eve" cannot impersonate-on:user-info:watch resource "pods"' in caught.value.message


async def test_nobody_becomes_a_master_by_a_constrained_mode() -> None:
    permissions = Permissions(
        "impersonate:user-info authentication.k8s.io users bob",
        "impersonate:user-info authentication.k8s.io groups system:masters",
        "impersonate-on:user-info:list pods default",
    )
    asking = request([("user", "bob"), ("group", "system:masters")])
    with pytest.raises(StatusError, match="impersonating the system:masters group is not allowed"):
        await Impersonations(permissions).applied(User("eve"), asking, LIST)


@pytest.mark.parametrize("name", ["system:node:n1", "system:serviceaccount:default:robot"])
async def test_nodes_and_accounts_are_no_users_of_the_constrained_mode(name: str) -> None:
    permissions = Permissions(
        f"impersonate:user-info authentication.k8s.io users {name}", "impersonate-on:user-info:list pods default"
    )
    with pytest.raises(StatusError):
        await Impersonations(permissions).applied(User("eve"), request([("user", name)]), LIST)
    assert not any("user-info" in asked for asked in permissions.asked)


async def test_an_agent_acts_as_its_own_node_alone() -> None:
    allowed = (
        "impersonate:associated-node authentication.k8s.io nodes *",
        "impersonate-on:associated-node:list pods default",
    )
    permissions = Permissions(*allowed)
    found = await Impersonations(permissions).applied(AGENT, request([("user", "system:node:n1")]), LIST)
    assert found == (User("system:node:n1", ("system:nodes", "system:authenticated")), "impersonate:associated-node")
    # Which node and pod it is on is not what its permission hangs on.
    assert {tuple(user.extra) for user in permissions.users} == {("authentication.kubernetes.io/associated-node-keys",)}
    with pytest.raises(StatusError):
        await Impersonations(Permissions(*allowed)).applied(AGENT, request([("user", "system:node:n2")]), LIST)


async def test_leave_for_all_groups_spares_asking_for_many() -> None:
    permissions = Permissions(
        "impersonate:user-info authentication.k8s.io users bob",
        "impersonate:user-info authentication.k8s.io groups *",
        "impersonate-on:user-info:list pods default",
    )
    groups = [("group", name) for name in "abcd"]
    found = await Impersonations(permissions).applied(User("eve"), request([("user", "bob"), *groups]), LIST)
    assert found is not None
    assert found.user.groups == ("a", "b", "c", "d", "system:authenticated")
    assert len(permissions.asked) == 3
