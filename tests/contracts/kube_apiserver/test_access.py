"""Who may do what, on a real server: certificates, tokens, roles, nodes, and the attacks that they refuse."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from keelson.api.errors import StatusError
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab


@asynccontextmanager
async def _as(path: str) -> AsyncIterator[Client]:
    async with Client(kubeconfigs.load(path), user_agent="suite") as found:
        yield found


async def refused(call: Any, code: int = 403) -> str:
    with pytest.raises(StatusError) as caught:
        await call
    assert caught.value.code == code, caught.value
    return caught.value.message


async def token_of(client: Client, namespace: str, name: str, **spec: Any) -> str:
    answer = await client.create(
        "serviceaccounts", {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec},
        namespace=namespace, name=name, subresource="token",
    )  # fmt: skip
    token: str = answer["status"]["token"]
    return token


async def test_roles_bind_an_account_to_its_namespace(cluster: Cluster, client: Client, namespace: str) -> None:
    path = cluster.kubeconfig(token=await token_of(client, namespace, "default"))
    async with _as(path) as account:
        message = await refused(account.list("configmaps", namespace=namespace))
        assert f'User "system:serviceaccount:{namespace}:default" cannot list resource "configmaps"' in message
        await client.create(
            "rolebindings.rbac.authorization.k8s.io",
            {
                "metadata": {"name": "view", "namespace": namespace},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
            },
        )
        await account.list("configmaps", namespace=namespace)
        await refused(account.list("secrets", namespace=namespace))
        await refused(account.list("configmaps", namespace="kube-system"))


async def test_nobody_grants_what_he_does_not_have(cluster: Cluster, client: Client, namespace: str) -> None:
    rbac = "rbac.authorization.k8s.io"
    await client.create(
        f"rolebindings.{rbac}",
        {
            "metadata": {"name": "admin", "namespace": namespace},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "User", "name": "eve", "apiGroup": rbac}],
        },
    )
    async with _as(cluster.kubeconfig("eve", [])) as eve:
        fine = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
        await eve.create(f"roles.{rbac}", {"metadata": {"name": "fine", "namespace": namespace}, "rules": fine})
        more = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        message = await refused(
            eve.create(f"roles.{rbac}", {"metadata": {"name": "more", "namespace": namespace}, "rules": more})
        )
        assert "not currently held" in message
        binding = {
            "metadata": {"name": "b", "namespace": namespace},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "User", "name": "eve", "apiGroup": rbac}],
        }
        await refused(eve.create(f"rolebindings.{rbac}", binding))


async def test_tokens_end_with_what_they_are_bound_to(cluster: Cluster, client: Client, namespace: str) -> None:
    made = await client.create(
        "pods",
        {
            "metadata": {"name": "p", "namespace": namespace},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    )
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    path = cluster.kubeconfig(token=await token_of(client, namespace, "default", boundObjectRef=bound))
    async with _as(path) as account:
        await refused(account.list("pods", namespace=namespace))
        await client.delete("pods", "p", namespace=namespace, grace_period_seconds=0)
        await refused(account.list("pods", namespace=namespace), 401)


async def test_tokens_are_for_their_audience(cluster: Cluster, client: Client, namespace: str) -> None:
    token = await token_of(client, namespace, "default", audiences=["elsewhere"])
    async with _as(cluster.kubeconfig(token=token)) as account:
        await refused(account.list("pods", namespace=namespace), 401)


@pytest.mark.parametrize(
    "tamper", [lambda t: t[:-4] + "AAAA", lambda t: "x", lambda t: t.replace(".", ".e30.", 1)], ids=str
)
async def test_tampered_tokens(cluster: Cluster, client: Client, namespace: str, tamper: Callable[[str], str]) -> None:
    token = tamper(await token_of(client, namespace, "default"))
    async with _as(cluster.kubeconfig(token=token)) as account:
        await refused(account.list("pods", namespace=namespace), 401)


async def test_expired_certificates_are_nobody(cluster: Cluster, namespace: str) -> None:
    certificate, key = cluster.authority.issue("late", ["system:masters"], life=-datetime.timedelta(hours=1))
    path = cluster.kubeconfig_of("late", certificate, key)
    async with _as(path) as late:
        with pytest.raises(StatusError) as caught:
            await late.list("pods", namespace=namespace)
    # The handshake refuses it; without a connection there is no status of the server's own.
    assert caught.value.code in (401, 503)


async def test_remote_headers_count_only_from_the_front_proxy(cluster: Cluster, namespace: str) -> None:
    headers = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
    path = f"/api/v1/namespaces/{namespace}/secrets"
    async with _as(cluster.kubeconfig("nobody", [])) as nobody:
        await refused(nobody.request("GET", path, headers=headers))
    for name, allowed in (("front-proxy-client", True), ("other", False)):
        certificate, key = cluster.front_proxy.issue(name)
        async with _as(cluster.kubeconfig_of(name, certificate, key)) as proxy:
            if allowed:
                await proxy.request("GET", path, headers=headers)
            else:
                # Nobody is anonymous with a certificate that is not believed.
                await refused(proxy.request("GET", path, headers=headers), 401)


async def test_a_node_keeps_to_itself(cluster: Cluster, client: Client, namespace: str) -> None:
    async with _as(cluster.kubeconfig("system:node:n1", ["system:nodes"])) as node:
        await node.create("nodes", {"metadata": {"name": "n1"}})
        await refused(node.create("nodes", {"metadata": {"name": "n2"}}))
        await refused(node.get("secrets", "s", namespace=namespace))
        restricted = {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}}
        await refused(node.patch("nodes", "n1", restricted))
        await refused(node.patch("nodes", "n1", {"spec": {"taints": []}}))
        await refused(node.list("pods"))
        await node.list("pods", field_selector="spec.nodeName=n1")
        await client.create("secrets", {"metadata": {"name": "s", "namespace": namespace}})
        volume = {"name": "v", "secret": {"secretName": "s"}}
        await client.create(
            "pods",
            {
                "metadata": {"name": "p", "namespace": namespace},
                "spec": {"nodeName": "n1", "volumes": [volume], "containers": [{"name": "c", "image": "i"}]},
            },
        )
        await node.get("secrets", "s", namespace=namespace)


async def test_bootstrap_tokens(cluster: Cluster, client: Client) -> None:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:nodes",
    }
    await client.create(
        "secrets",
        {
            "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": data,
        },
    )
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    async with _as(cluster.kubeconfig(token="abcdef.0123456789abcdef")) as joining:
        me = await joining.create("selfsubjectreviews.authentication.k8s.io", review)
        assert me["status"]["userInfo"]["username"] == "system:bootstrap:abcdef"
        assert "system:bootstrappers:nodes" in me["status"]["userInfo"]["groups"]
    async with _as(cluster.kubeconfig(token="abcdef.0123456789abcdex")) as other:
        await refused(other.create("selfsubjectreviews.authentication.k8s.io", review), 401)


async def test_paths_stay_in_their_place(cluster: Cluster, client: Client, namespace: str) -> None:
    await refused(client.request("GET", f"/api/v1/namespaces/{namespace}/nodes"), 404)
    for path in ("/api/v1/namespaces/a/pods/%2e%2e/x", "/api/v1/namespaces/../secrets", "/healthz/../api"):
        answer = await cluster.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", b"431"),
        (b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"403"),
    ],
)
async def test_malformed_requests_get_an_answer(cluster: Cluster, request_: bytes, status: bytes) -> None:
    assert (await cluster.raw(request_)).split(b" ")[1] == status


async def test_bad_bodies_are_refused_fast(client: Client, namespace: str) -> None:
    where = f"/api/v1/namespaces/{namespace}/configmaps"
    json = {"Content-Type": "application/json"}
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"data":{"a":"\xff"}}',
        b'{"metadata":{"name":NaN}}',
    ):
        await refused(client.request("POST", where, body=body, headers=json), 400)
    await refused(client.request("POST", where, body=b"{}", headers={"Content-Type": "text/x"}), 415)
    bombs = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%b]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9)
    )
    await refused(client.request("POST", where, body=bombs, headers={"Content-Type": "application/yaml"}), 400)
    await refused(
        client.request(
            "POST", where, body=b"k8s\0\xff\xff", headers={"Content-Type": "application/vnd.kubernetes.protobuf"}
        ),
        400,
    )
