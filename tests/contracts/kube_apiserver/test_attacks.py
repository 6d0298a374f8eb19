"""Attacks on API servers that became known, and where each is refused. Every test here fails without its defence.

| attack | refused in |
|---|---|
| a failed upgrade leaves the connection to the backend open (2018-1002105) | test_proxies: test_a_failed_upgrade_… |
| redirects of kubelets, extension servers, webhooks followed (2022-3172) | test_proxies: test_a_kubelets_redirect_… |
| | test_aggregation: …_redirects_do_not, test_webhooks and test_webhook_clients: …redirect_is_… |
| proxying to an address that was not checked, or is resolved again (CVE-2022-3294) | test_proxies: test_nothing_is_… |
| X-Remote-* without the front proxy's authority and an allowed name | test_access: test_remote_headers_… |
| YAML aliases (CVE-2019-11253), depth, numbers, repeated keys, sizes | here |
| patches of many operations, and `copy` that doubles | here |
| a node's labels, taints, owners (CVE-2021-25735, CVE-2025-5187), mirror pods, tokens | here |
| cluster-scoped objects by a namespaced path (CVE-2019-11247), `..` in names (CVE-2022-3162) | here, test_access |
| secrets past the list of an account by ephemeral containers or envFrom (CVE-2023-2728, CVE-2024-3177) | here |
| tokens beyond audience, binding | test_access; what is remembered of them on a connection: here |
| tokens beyond their expiry, of other keys, algorithms and issuers | here |
| a signing request for system:masters, in another's name, for another node, approved or signed by oneself | here |
| secrets in plain text in etcd | test_verbs: test_secrets_are_encrypted_in_the_store |
| secrets in the audit log | test_audit: test_secrets_stay_secret; in the server's own log: here |
| fuzzed bodies, patches, selectors, tokens, paths, HTTP | tests/faults/test_fuzzing.py |
"""

from __future__ import annotations

import base64
import datetime
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keelson.api.errors import StatusError
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster, key_pem

pytestmark = pytest.mark.lab

_JSON, _YAML = "application/json", "application/yaml"
_JSON_PATCH = "application/json-patch+json"
_RBAC = "rbac.authorization.k8s.io"


@asynccontextmanager
async def acting(path: str) -> AsyncIterator[Client]:
    """A client of a kubeconfig."""
    async with Client(kubeconfigs.load(path), user_agent="suite") as found:
        yield found


async def refused(call: Any, *codes: int) -> str:
    with pytest.raises(StatusError) as caught:
        await call
    assert caught.value.code in codes, caught.value
    return caught.value.message


def computed(cluster: Cluster) -> float:
    """Seconds that the server has computed so far."""
    fields = Path(f"/proc/{cluster.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# --- bombs


def _laughs() -> bytes:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for number in range(12):
        before, name = chr(97 + number), chr(98 + number)
        lines.append(f"{name}: &{name} [{','.join(['*' + before] * 10)}]")
    return "\n".join(lines).encode()


_DOUBLING = [{"op": "copy", "from": "/data", "path": f"/data/{number}"} for number in range(40)]
_MANY = [{"op": "test", "path": "/kind", "value": "ConfigMap"}] * 10_001
_BOMBS: dict[str, tuple[str, str, bytes, str, tuple[int, ...]]] = {
    "a billion laughs": ("POST", "", _laughs(), _YAML, (400,)),
    "a hundred thousand brackets of JSON": ("POST", "", b"[" * 100_000, _JSON, (400,)),
    "a thousand objects deep": ("POST", "", b'{"a":' * 1000 + b"1" + b"}" * 1000, _JSON, (400,)),
    "a hundred thousand brackets of YAML": ("POST", "", b"[" * 100_000, _YAML, (400,)),
    "a deep protobuf": (
        "POST", "", b"k8s\0" + b"\x0a\xff\xff\xff\x0f" * 50_000, "application/vnd.kubernetes.protobuf", (400,),
    ),
    "a number of a million digits": (
        "POST", "", b'{"metadata":{"name":"a","generation":' + b"9" * 1_000_000 + b"}}", _JSON, (400,),
    ),
    "the same in YAML": (
        "POST", "", b"metadata: {name: a, generation: " + b"9" * 1_000_000 + b"}", _YAML, (400,),
    ),
    "an exponent": ("POST", "", b'{"metadata":{"name":"a","generation":1e1000000}}', _JSON, (400,)),
    "a quantity with an exponent": (
        "PATCH", "pods", b'{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1e999999999"}}}]}}',
        "application/strategic-merge-patch+json", (400, 404, 422),
    ),
    "four megabytes": ("POST", "", b'{"metadata":{"name":"' + b"a" * (4 << 20) + b'"}}', _JSON, (413,)),
    "repeated keys, read strictly": (
        "POST", "?fieldValidation=Strict", b'{"metadata":{"name":"a"},"data":{"k":"1","k":"2"}}', _JSON, (400,),
    ),
    "too many operations": ("PATCH", "/bomb", json.dumps(_MANY).encode(), _JSON_PATCH, (413,)),
    "copies that double": ("PATCH", "/bomb", json.dumps(_DOUBLING).encode(), _JSON_PATCH, (400, 413, 422)),
    "bad UTF-8": ("POST", "", b'{"metadata":{"name":"a"},"data":{"k":"\xff\xfe"}}', _JSON, (400,)),
    "a lone surrogate": ("POST", "", b'{"metadata":{"name":"a"},"data":{"k":"\\ud800"}}', _JSON, (400,)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Sending a large body")
@pytest.mark.parametrize("name", _BOMBS)
async def test_bombs(cluster: Cluster, client: Client, namespace: str, name: str) -> None:
    method, rest, body, media_type, codes = _BOMBS[name]
    await client.create("configmaps", {"metadata": {"name": "bomb", "namespace": namespace}, "data": {"k": "x" * 99}})
    where = f"/api/v1/namespaces/{namespace}/" + (f"{rest}/p" if rest == "pods" else f"configmaps{rest}")
    where, _, query = where.partition("?")
    before = computed(cluster)
    parameters = dict([query.split("=")]) if query else {}
    await refused(
        client.request(method, where, body=body, headers={"Content-Type": media_type}, query=parameters), *codes
    )
    assert computed(cluster) - before < 1.0
    found = await client.list("configmaps", namespace=namespace)
    assert [each["metadata"]["name"] for each in found["items"]] == ["bomb"]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("labelSelector", "a in (" + "x," * 50_000),
        ("labelSelector", "a=b=c"),
        ("fieldSelector", "spec.nothing=x"),
        ("fieldSelector", "metadata.name"),
        ("continue", "nonsense"),
        ("continue", base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":1,"start":"../../secrets/"}').decode()),
        ("resourceVersion", "x"),
        ("limit", "x"),
    ],
)
async def test_bad_parameters_of_lists(client: Client, namespace: str, parameter: str, value: str) -> None:
    where = f"/api/v1/namespaces/{namespace}/configmaps"
    # A header of that size is refused before it is read.
    await refused(client.request("GET", where, query={parameter: value}), 400, 431)


# --- paths and names


async def test_a_continue_token_leads_nowhere_else(client: Client, namespace: str) -> None:
    """A token made by hand shows nothing beyond the namespace that its request was authorised for."""
    other = f"{namespace}-other"
    await client.create("namespaces", {"metadata": {"name": other}})
    for each in (namespace, other):
        await client.create("configmaps", {"metadata": {"name": "m", "namespace": each}})
    listed = await client.list("configmaps", namespace=namespace)
    revision = int(listed["metadata"]["resourceVersion"])
    for start in ("a", f"{other}/a", f"/{other}", "zzz"):
        token = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).encode()
        text = base64.urlsafe_b64encode(token).decode().rstrip("=")
        found = await client.list("configmaps", namespace=namespace, continue_=text)
        assert {each["metadata"]["namespace"] for each in found["items"]} <= {namespace}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a%b", "../secrets/s"])
async def test_names_that_are_paths(client: Client, namespace: str, name: str) -> None:
    await refused(client.create("configmaps", {"metadata": {"name": name, "namespace": namespace}}), 422)
    body = json.dumps({"metadata": {"name": name}}).encode()
    role = f"/apis/{_RBAC}/v1/clusterroles"
    await refused(client.request("POST", role, body=body, headers={"Content-Type": _JSON}), 422)


async def test_cluster_scoped_objects_have_no_namespaced_path(cluster: Cluster, client: Client, namespace: str) -> None:
    """CVE-2019-11247: a role in one namespace must not give what lies in none."""
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    metadata = {"name": "all", "namespace": namespace}
    await client.create(f"roles.{_RBAC}", {"metadata": metadata, "rules": rules})
    subject = {"kind": "User", "name": "eve", "apiGroup": _RBAC}
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": "all"}
    await client.create(f"rolebindings.{_RBAC}", {"metadata": metadata, "roleRef": reference, "subjects": [subject]})
    definition = {
        "metadata": {"name": f"attacks.{namespace}.example.org"},
        "spec": {
            "group": f"{namespace}.example.org",
            "names": {"plural": "attacks", "kind": "Attack"},
            "scope": "Cluster",
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    await client.create("customresourcedefinitions.apiextensions.k8s.io", definition)
    async with acting(cluster.kubeconfig("eve", ["people"])) as eve:
        for path in (
            f"/api/v1/namespaces/{namespace}/nodes",
            f"/api/v1/namespaces/{namespace}/persistentvolumes/x",
            f"/apis/{_RBAC}/v1/namespaces/{namespace}/clusterroles/cluster-admin",
            f"/apis/{namespace}.example.org/v1/namespaces/{namespace}/attacks",
        ):
            await refused(eve.request("GET", path), 404)
            await refused(eve.request("DELETE", path), 403, 404, 405)


# --- nodes


async def _node(cluster: Cluster, client: Client, name: str) -> str:
    await client.create("nodes", {"metadata": {"name": name}})
    return cluster.kubeconfig(f"system:node:{name}", ["system:nodes"])


async def test_what_a_node_may_not_say_of_itself(cluster: Cluster, client: Client, namespace: str) -> None:
    """CVE-2021-25735 and CVE-2025-5187, and the labels by which others keep their pods off it."""
    async with acting(await _node(cluster, client, namespace)) as node:
        await node.patch("nodes", namespace, {"metadata": {"labels": {"kubernetes.io/arch": "amd64", "mine": "1"}}})
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "m", "uid": "u"}
        for patch in (
            {"metadata": {"labels": {"node-restriction.kubernetes.io/trusted": "yes"}}},
            {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}},
            {"metadata": {"labels": {"other.k8s.io/a": "b"}}},
            {"metadata": {"ownerReferences": [owner]}},
            {"spec": {"taints": None}},
            {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}},
        ):
            for subresource in ("", "status"):
                with_spec = "spec" in patch and subresource == "status"
                call = node.patch("nodes", namespace, patch, subresource=subresource)
                if with_spec:
                    # The status has no spec to change.
                    before = (await client.get("nodes", namespace))["spec"]
                    await call
                    assert (await client.get("nodes", namespace))["spec"] == before
                else:
                    await refused(call, 403)
        await refused(
            node.patch("nodes", namespace, {"metadata": {"labels": {"x": "y"}}}, subresource="proxy"), 403, 405
        )
        await refused(node.delete("nodes", namespace), 403)


async def test_what_a_node_may_not_do_to_pods(cluster: Cluster, client: Client, namespace: str) -> None:
    other = f"{namespace}-2"
    async with acting(await _node(cluster, client, namespace)) as node:
        await client.create("nodes", {"metadata": {"name": other}})
        spec = {"nodeName": other, "containers": [{"name": "c", "image": "i"}]}
        foreign = {"metadata": {"name": "foreign", "namespace": namespace}, "spec": spec}
        theirs = await client.create("pods", foreign)
        own_spec = {**spec, "nodeName": namespace}
        own = await client.create("pods", {"metadata": {"name": "own", "namespace": namespace}, "spec": own_spec})
        await refused(node.patch("pods", "foreign", {"status": {}}, namespace=namespace, subresource="status"), 403)
        await refused(node.delete("pods", "foreign", namespace=namespace), 403)
        await refused(node.evict(namespace, "foreign"), 403)
        labels = {"metadata": {"labels": {"app": "database"}}}
        await refused(node.patch("pods", "own", labels, namespace=namespace, subresource="status"), 403)
        await refused(node.patch("pods", "own", labels, namespace=namespace), 403)

        uid = (await client.get("nodes", namespace))["metadata"]["uid"]
        mirror = {"kubernetes.io/config.mirror": "x"}
        owner = {"apiVersion": "v1", "kind": "Node", "name": namespace, "uid": uid, "controller": True}
        metadata = {"name": "mirror", "namespace": namespace, "annotations": mirror, "ownerReferences": [owner]}
        volume = {"name": "v", "secret": {"secretName": "s"}}
        for change, why in (
            ({"metadata": {**metadata, "annotations": {}}}, "can only create mirror pods"),
            ({"metadata": {**metadata, "ownerReferences": []}}, "owner reference set to itself"),
            (
                {"metadata": {**metadata, "ownerReferences": [{**owner, "name": other}]}},
                "owner reference set to itself",
            ),
            ({"spec": spec}, "nodeName set to itself"),
            ({"spec": {**own_spec, "serviceAccountName": "default"}}, "service account"),
            ({"spec": {**own_spec, "volumes": [volume]}}, "secret"),
            ({"spec": {**own_spec, "volumes": [{"name": "v", "configMap": {"name": "s"}}]}}, "configmaps"),
        ):
            made = {"metadata": metadata, "spec": own_spec, **change}
            assert why in await refused(node.create("pods", made), 403)
        await node.create("pods", {"metadata": metadata, "spec": own_spec})

        def token(pod: dict[str, Any], **more: Any) -> Any:
            bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
            spec = {"boundObjectRef": {**bound, **more}}
            body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
            where = {"namespace": namespace, "name": "default", "subresource": "token"}
            return node.create("serviceaccounts", body, **where)

        await token(own)
        await refused(token(theirs), 403)
        assert "does not match the UID" in await refused(token(own, uid=theirs["metadata"]["uid"]), 403, 409)
        unbound = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}}
        where = {"namespace": namespace, "name": "default", "subresource": "token"}
        await refused(node.create("serviceaccounts", unbound, **where), 403)


# --- secrets past an account's list


@pytest.mark.parametrize(
    "how",
    [
        lambda s: {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": s, "key": "k"}}}]},
        lambda s: {"envFrom": [{"secretRef": {"name": s}}]},
    ],
    ids=["env", "envFrom"],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
async def test_secrets_that_an_account_does_not_list(
    client: Client, namespace: str, kind: str, how: Callable[[str], Any]
) -> None:
    """CVE-2023-2728 (ephemeral containers) and CVE-2024-3177 (envFrom)."""
    account = await client.get("serviceaccounts", "default", namespace=namespace)
    account["metadata"]["annotations"] = {"kubernetes.io/enforce-mountable-secrets": "true"}
    account["secrets"] = [{"name": "listed"}]
    await client.update("serviceaccounts", account)
    # Admission looks into the cache; once a consistent read was answered, the cache has it.
    await client.get("serviceaccounts", "default", namespace=namespace)
    plain = {"name": "c", "image": "i"}

    def using(secret: str) -> Any:
        container = {"name": "x", "image": "i", **how(secret)}
        if kind == "ephemeralContainers":
            patch = {"spec": {kind: [container]}}
            strategic = "application/strategic-merge-patch+json"
            return client.patch(
                "pods", "p", patch, namespace=namespace, subresource="ephemeralcontainers", kind=strategic
            )
        containers = {"containers": [plain], kind: [container]}
        return client.create("pods", {"metadata": {"name": secret, "namespace": namespace}, "spec": containers})

    if kind == "ephemeralContainers":
        await client.create(
            "pods", {"metadata": {"name": "p", "namespace": namespace}, "spec": {"containers": [plain]}}
        )
    await refused(using("unlisted"), 403)
    await using("listed")


# --- tokens


def _claims(namespace: str, uid: str, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    issuer = "https://kubernetes.default.svc.cluster.local"
    account = {"name": "default", "uid": uid}
    return {
        "iss": issuer,
        "aud": [issuer],
        "sub": f"system:serviceaccount:{namespace}:default",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 600,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": account},
        **more,
    }


async def test_tokens_that_are_not_good(cluster: Cluster, client: Client, namespace: str) -> None:
    account = await client.get("serviceaccounts", "default", namespace=namespace)
    uid = account["metadata"]["uid"]
    good = _claims(namespace, uid)
    key = key_pem(cluster.keys.account)
    public = cluster.keys.account.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    now = int(time.time())
    part = base64.urlsafe_b64encode(json.dumps(good).encode()).decode().rstrip("=")
    nothing = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    shared = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public)
    bad = {
        "expired": jwt.encode({**good, "exp": now - 120}, key, "ES256"),
        "not yet": jwt.encode({**good, "nbf": now + 3600}, key, "ES256"),
        "without an end": jwt.encode({k: v for k, v in good.items() if k != "exp"}, key, "ES256"),
        "of another key": jwt.encode(good, key_pem(ec.generate_private_key(ec.SECP256R1())), "ES256"),
        "of another issuer": jwt.encode({**good, "iss": "https://elsewhere"}, key, "ES256"),
        "for others": jwt.encode({**good, "aud": ["elsewhere"]}, key, "ES256"),
        "of an account of another uid": jwt.encode(_claims(namespace, "other"), key, "ES256"),
        "without an account": jwt.encode({k: v for k, v in good.items() if k != "kubernetes.io"}, key, "ES256"),
        "without a signature": f"{nothing}.{part}.",
        "signed with what everybody knows": f"{shared}.{part}."
        + base64.urlsafe_b64encode(_hmac(public, f"{shared}.{part}".encode())).decode().rstrip("="),
    }
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with acting(cluster.kubeconfig(token=jwt.encode(good, key, "ES256"))) as known:
        await refused(known.request("GET", path), 403)
    for name, token in bad.items():
        async with acting(cluster.kubeconfig(token=token)) as stranger:
            # What kind of stranger it is must not matter.
            assert await refused(stranger.request("GET", path), 401) == "Unauthorized", name


def _hmac(key: bytes, message: bytes) -> bytes:
    from cryptography.hazmat.primitives.hmac import HMAC

    made = HMAC(key, hashes.SHA256())
    made.update(message)
    return made.finalize()


async def test_what_a_connection_was_allowed_ends_with_its_reason(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    """The same GET again and again on one connection: no answer outlives what it rested on."""
    made = await client.create(
        "pods",
        {"metadata": {"name": "p", "namespace": namespace}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    )
    await client.create("configmaps", {"metadata": {"name": "m", "namespace": namespace}})
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"boundObjectRef": bound}}
    where = {"namespace": namespace, "name": "default", "subresource": "token"}
    token = (await client.create("serviceaccounts", request, **where))["status"]["token"]
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "view"}
    binding = {"metadata": {"name": "view", "namespace": namespace}, "roleRef": reference, "subjects": [subject]}
    await client.create(f"rolebindings.{_RBAC}", binding)
    async with acting(cluster.kubeconfig(token=token)) as account:

        async def read(times: int) -> None:
            for _ in range(times):
                await account.get("configmaps", "m", namespace=namespace)

        await read(3)
        await client.delete(f"rolebindings.{_RBAC}", "view", namespace=namespace)

        async def forbidden() -> bool:
            try:
                await read(1)
            except StatusError as error:
                return error.code == 403
            return False

        # The authorizer reads bindings from a cache, which is told of the deletion beside its answer.
        await waits.until(forbidden, seconds=2.0)
        await client.create(f"rolebindings.{_RBAC}", binding)
        await read(3)
        await refused(
            account.request(
                "GET", f"/api/v1/namespaces/{namespace}/configmaps/m", headers={"Impersonate-User": "admin"}
            ),
            403,
        )
        await client.delete("configmaps", "m", namespace=namespace)
        await refused(read(1), 404)
        await client.create("configmaps", {"metadata": {"name": "m", "namespace": namespace}})
        await read(3)
        await client.delete("pods", "p", namespace=namespace, grace_period_seconds=0)
        await refused(read(1), 401)


# --- signing requests


def _request(name: str, *groups: str) -> str:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


async def test_signing_requests(cluster: Cluster, client: Client, namespace: str) -> None:
    csr = "certificatesigningrequests.certificates.k8s.io"
    resources = [f"certificatesigningrequests{each}" for each in ("", "/approval", "/status")]
    rules = [{"apiGroups": ["certificates.k8s.io"], "resources": resources, "verbs": ["*"]}]
    name = f"signing-{namespace}"
    await client.create(f"clusterroles.{_RBAC}", {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "User", "name": "eve", "apiGroup": _RBAC}
    reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name}
    await client.create(
        f"clusterrolebindings.{_RBAC}", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    )

    def spec(request: str, **more: Any) -> dict[str, Any]:
        signer = "kubernetes.io/kube-apiserver-client"
        return {"request": request, "signerName": signer, "usages": ["client auth"], **more}

    async with acting(cluster.kubeconfig("eve", ["people"])) as eve:
        masters = {"metadata": {"name": f"{name}-1"}, "spec": spec(_request("eve", "system:masters"))}
        assert "system:masters" in await refused(eve.create(csr, masters), 403)
        # Whoever asks is who asks, and not who he says that he is.
        forged = spec(_request("eve"), username="admin", groups=["system:masters"], uid="1", extra={"a": ["b"]})
        made = await eve.create(csr, {"metadata": {"name": f"{name}-2"}, "spec": forged})
        assert made["spec"]["username"] == "eve"
        assert "system:masters" not in made["spec"]["groups"]
        # To write approvals and certificates takes the right on the signer, and not only on the subresource.
        made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}
        assert "not permitted to approve" in await refused(eve.update(csr, made, subresource="approval"), 403)
        certificate, _ = cluster.authority.issue("eve", ["system:masters"])
        made["status"] = {"certificate": base64.b64encode(certificate).decode()}
        assert "not permitted to sign" in await refused(eve.update(csr, made, subresource="status"), 403)


async def test_a_node_asks_for_no_other_nodes_certificate(cluster: Cluster, client: Client, namespace: str) -> None:
    csr = "certificatesigningrequests.certificates.k8s.io"
    serving = {"signerName": "kubernetes.io/kubelet-serving", "usages": ["digital signature", "server auth"]}
    own = {"signerName": "kubernetes.io/kube-apiserver-client-kubelet", "usages": ["digital signature", "client auth"]}
    async with acting(await _node(cluster, client, namespace)) as node:
        for number, kind in enumerate((serving, own)):
            for name, codes in ((f"system:node:{namespace}-2", 403), ("admin", 403), (f"system:node:{namespace}", 0)):
                request = {**kind, "request": _request(name, "system:nodes")}
                made = {"metadata": {"name": f"{name}-{number}".replace(":", "-")}, "spec": request}
                if codes:
                    await refused(node.create(csr, made), codes)
                else:
                    await node.create(csr, made)


# --- logs


async def test_secrets_are_not_in_the_log(cluster: Cluster, client: Client, namespace: str) -> None:
    """Neither what succeeds, nor what is refused, nor what can't be read leaves a secret or a token there."""
    words = [f"hidden-{namespace}-{number}" for number in range(4)]
    path = f"/api/v1/namespaces/{namespace}/secrets"
    secret = {"metadata": {"name": "s", "namespace": namespace}, "stringData": {"k": words[0]}}
    await client.create("secrets", secret)
    await refused(client.request("POST", path, body=f'{{"data": {{"k": {words[1]}}}}}'.encode()), 400, 415)
    broken = json.dumps({"metadata": {"name": ".."}, "data": {"k": words[2]}}).encode()
    await refused(client.request("POST", path, body=broken, headers={"Content-Type": _JSON}), 400, 422)
    async with acting(cluster.kubeconfig(token=words[3])) as stranger:
        await refused(stranger.request("GET", path), 401)
    request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}}
    where = {"namespace": namespace, "name": "default", "subresource": "token"}
    token = (await client.create("serviceaccounts", request, **where))["status"]["token"]
    log = cluster.log
    for word in (*words, token, token.split(".")[2], base64.b64encode(words[0].encode()).decode()):
        assert word not in log
    assert datetime.datetime.now(datetime.UTC).strftime("%m%d") in log
