"""Who asks and what he may: the same requests to our server and to upstream's, on one etcd, must be answered alike.

Compared are status, headers and body. What differs on purpose is not asked here: a method that HTTP does not know is
malformed for our parser and merely forbidden for upstream's, and reviews have no managedFields here.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compatibility.wires import Answer, ask
from tests.contracts.kube_apiserver.api_servers import Authority, Cluster

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

Lines = Sequence[tuple[str, str]]

_ME = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_MAPS = "/api/v1/namespaces/default/configmaps"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}

# What those who impersonate may.
ROLES = Path(__file__).with_name("access_roles.yaml")


class Asker:
    """Requests of many to one server."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._contexts: dict[str, ssl.SSLContext] = {}

    def _context(self, user: str) -> ssl.SSLContext:
        if user not in self._contexts:
            context = ssl.create_default_context(cadata=self.cluster.authority.pem.decode())
            if user:
                authority: Authority = self.cluster.authority
                name, groups = user, ["system:masters"] if user.startswith(("admin", "boss")) else []
                if user.startswith("proxy:"):
                    authority, name = self.cluster.front_proxy, user.removeprefix("proxy:")
                if user.startswith("node:"):
                    name, groups = f"system:{user}", ["system:nodes"]
                certificate, key = authority.issue(name, groups)
                file = user.replace(":", "-")
                context.load_cert_chain(
                    self.cluster.write(f"{file}.crt", certificate), self.cluster.write(f"{file}.key", key)
                )
            self._contexts[user] = context
        return self._contexts[user]

    def ask(self, user: str, method: str, path: str, lines: Lines = (), body: Any = None) -> Answer:
        """One request of somebody (by certificate; "" is nobody) with these header lines."""
        if body is not None:
            lines = [("Content-Type", "application/json"), *lines]
        found = ask(self.cluster, self._context(user), method, path, lines, body, read=_value)
        # Whether a connection goes on is each server's own affair.
        found.headers.pop("Connection", None)
        return found


def _value(raw: bytes) -> Any:
    if not raw.startswith(b"{"):
        return raw.decode()
    value = json.loads(raw)
    if value.get("kind") == "SelfSubjectReview":
        info = value["status"]["userInfo"]
        # Each server made a certificate of its own for whoever asks.
        info.get("extra", {}).pop("authentication.kubernetes.io/credential-id", None)
        return info
    return value


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[tuple[Asker, Asker]]:
    """(ours, upstream's)."""
    folder = tmp_path_factory.mktemp("access")
    with Cluster(folder / "ours") as ours:
        stores = [ours.etcd.endpoint]
        with Cluster(folder / "theirs", program=upstream("kube-apiserver"), stores=stores, keys=ours.keys) as theirs:
            ours.kubectl("apply", "-f", "-", input=ROLES.read_text(encoding="utf-8"))
            yield Asker(ours), Asker(theirs)


def _as(*lines: str) -> list[tuple[str, str]]:
    """Header lines, each as `Name: value`; short names are those of impersonation."""
    found = []
    for line in lines:
        name, _, value = line.partition(": ")
        found.append((name if "-" in name or name == "Authorization" else f"Impersonate-{name}", value))
    return found


def _me(user: str, *lines: str) -> tuple[str, str, str, Lines, Any]:
    return user, "POST", _ME, _as(*lines), _REVIEW


def _get(user: str, path: str, *lines: str) -> tuple[str, str, str, Lines, Any]:
    return user, "GET", path, _as(*lines), None


ROWS: dict[str, tuple[str, str, str, Lines, Any]] = {
    # who asks
    "admin": _me("admin"),
    "nobody": _me(""),
    "a person": _me("eve"),
    "a bad token": _me("", "Authorization: Bearer nonsense"),
    "a bad token beside a certificate": _me("eve", "Authorization: Bearer nonsense"),
    "an empty token": _me("", "Authorization: Bearer "),
    "another scheme": _me("", "Authorization: Basic YTpi"),
    "another scheme, healthz": _get("", "/healthz", "Authorization: Basic YTpi"),
    "a token without a scheme": _me("", "Authorization: nonsense"),
    "a bootstrap token that is not there": _me("", "Authorization: Bearer abcdef.0123456789abcdef"),
    # what nobody and somebody may
    "nobody lists": _get("", _MAPS),
    "nobody lists all": _get("", "/api/v1/configmaps"),
    "nobody gets": _get("", f"{_MAPS}/x"),
    "nobody creates": ("", "POST", _MAPS, (), {}),
    "nobody deletes": ("", "DELETE", f"{_MAPS}/x", (), None),
    "nobody at a path": _get("", "/metrics"),
    "nobody at the index": _get("", "/"),
    "nobody at discovery": _get("", "/api"),
    "nobody at a strange path": _get("", "/strange/path"),
    "nobody watches": _get("", f"{_MAPS}?watch=1"),
    "somebody lists": _get("eve", _MAPS),
    "somebody gets a log": _get("eve", "/api/v1/namespaces/default/pods/p/log"),
    "somebody execs": ("eve", "POST", "/api/v1/namespaces/default/pods/p/exec?command=x", (), None),
    "somebody patches a status": ("eve", "PATCH", "/api/v1/namespaces/default/pods/p/status", (), {}),
    "somebody deletes a collection": ("eve", "DELETE", _MAPS, (), None),
    "somebody gets a node": _get("eve", "/api/v1/nodes/n"),
    "somebody at a group": _get("eve", "/apis/apps/v1/namespaces/default/deployments/d/scale"),
    "somebody at what is not served": _get("eve", "/apis/example.com/v1/things"),
    "somebody selects": _get("eve", f"{_MAPS}?fieldSelector=metadata.name%3Dx"),
    "somebody updates": ("eve", "PUT", f"{_MAPS}/x", (), {}),
    "a node reads a secret": _get("node:n1", "/api/v1/namespaces/default/secrets/s"),
    "a node lists secrets": _get("node:n1", "/api/v1/namespaces/default/secrets"),
    "a node reads another's lease": _get("node:n1", f"{_LEASES}/n2"),
    "a node reads another node": _get("node:n1", "/api/v1/nodes/n2"),
    "a node reads an attachment": _get("node:n1", "/apis/storage.k8s.io/v1/volumeattachments/none"),
    "a node lists attachments": _get("node:n1", "/apis/storage.k8s.io/v1/volumeattachments"),
    "a node reads a slice": _get("node:n1", "/apis/resource.k8s.io/v1/resourceslices/none"),
    "a node lists slices": _get("node:n1", "/apis/resource.k8s.io/v1/resourceslices"),
    "a node lists its slices": _get(
        "node:n1", "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName%3Dn2"
    ),
    "a node lists pods": _get("node:n1", "/api/v1/pods"),
    # impersonation, unconstrained
    "admin as bob": _me("admin", "User: bob"),
    "admin as bob of groups": _me("admin", "User: bob", "Group: dev", "Group: ops"),
    "admin as a group alone": _me("admin", "Group: dev"),
    "admin as a uid alone": _me("admin", "Uid: u1"),
    "admin with extra alone": _me("admin", "Extra-scopes: view"),
    "admin as much without a user": _me("admin", "Uid: u1", "Group: a", 'Group: b"', "Extra-scopes: view"),
    "admin as nobody": _me("admin", "User: system:anonymous"),
    "admin as unauthenticated": _me("admin", "User: bob", "Group: system:unauthenticated"),
    "admin as authenticated": _me("admin", "User: bob", "Group: system:authenticated"),
    "admin as an account": _me("admin", "User: system:serviceaccount:default:robot"),
    "admin as an account of groups": _me("admin", "User: system:serviceaccount:default:robot", "Group: dev"),
    "admin as an account of no name": _me("admin", "User: system:serviceaccount:default:"),
    "admin as an account of a bad name": _me("admin", "User: system:serviceaccount:De fault:robot"),
    "admin as a node": _me("boss-1", "User: system:node:n1"),
    "admin as a node of groups": _me("boss-2", "User: system:node:n1", "Group: system:nodes"),
    "admin as a strange name": _me("admin", "User: jürgen, der"),
    "admin as a group with a comma": _me("admin", "User: bob", "Group: a, b", "Group: c"),
    "admin as an empty group": _me("admin", "User: bob", "Group: "),
    "admin as an empty user": _me("admin", "User: "),
    "admin as masters": _me("admin", "User: bob", "Group: system:masters"),
    "admin with extra": _me("admin", "User: bob", "Extra-scopes: view", "Extra-scopes: x, y"),
    "admin with escaped extra": _me("admin", "User: bob", "Extra-acme.com%2Fproject: p"),
    "admin with badly escaped extra": _me("admin", "User: bob", "Extra-acme.com%zz: p"),
    "admin with a uid": _me("admin", "User: bob", "Uid: u1"),
    "admin with strange headers": _me("admin", "Impersonate-Foo: x"),
    "actor as bob": _me("actor", "User: bob"),
    "actor as bob of dev": _me("actor", "User: bob", "Group: dev"),
    "actor as bob of ops": _me("actor", "User: bob", "Group: dev", "Group: ops"),
    "actor as bob of a group with a comma": _me("actor", "User: bob", "Group: a, b"),
    "actor as alice": _me("actor", "User: alice"),
    "actor as bob with a uid": _me("actor", "User: bob", "Uid: u1"),
    "actor as bob with another uid": _me("actor", "User: bob", "Uid: u2"),
    "actor as bob with scopes": _me("actor", "User: bob", "Extra-scopes: view", "Extra-scopes: x, y"),
    "actor as bob with other scopes": _me("actor", "User: bob", "Extra-scopes: edit"),
    "actor as bob with other extra": _me("actor", "User: bob", "Extra-other: view"),
    "actor as an account": _me("actor", "User: system:serviceaccount:default:robot"),
    "actor as another account": _me("actor", "User: system:serviceaccount:default:other"),
    "actor as a node": _me("actor", "User: system:node:n1"),
    "actor as nobody": _me("actor", "User: system:anonymous"),
    "eve as bob": _me("eve", "User: bob"),
    "eve as bob lists": _get("eve", _MAPS, "User: bob"),
    "eve as bob at a path": _get("eve", "/metrics", "User: bob"),
    "eve as an account": _get("eve", _MAPS, "User: system:serviceaccount:default:robot"),
    "eve as a node": _get("eve", _MAPS, "User: system:node:n1"),
    "eve as a node of groups": _get("eve", _MAPS, "User: system:node:n1", "Group: system:nodes"),
    "nobody as bob": _me("", "User: bob"),
    "admin as bob lists": _get("admin", _MAPS, "User: bob"),
    # impersonation, constrained
    "narrow as bob": _me("narrow", "User: bob"),
    "narrow as bob of dev": _me("narrow", "User: bob", "Group: dev"),
    "narrow as bob of ops": _me("narrow", "User: bob", "Group: ops"),
    "narrow as bob of many": _me("narrow", "User: bob", "Group: a", "Group: b", "Group: c", "Group: dev"),
    "narrow as bob of masters": _me("narrow", "User: bob", "Group: system:masters"),
    "narrow as bob of no group": _me("narrow", "User: bob", "Group: "),
    "narrow as alice": _me("narrow", "User: alice"),
    "narrow as bob with a uid": _me("narrow", "User: bob", "Uid: u1"),
    "narrow as bob with extra": _me("narrow", "User: bob", "Extra-acme.io%2Fscopes: view"),
    "narrow as bob with plain extra": _me("narrow", "User: bob", "Extra-scopes: view"),
    "narrow as bob with strange extra": _me("narrow", "User: bob", "Extra-a_b%2Fscopes: view"),
    "narrow as bob with empty extra": _me("narrow", "User: bob", "Extra-acme.io%2Fscopes: "),
    "narrow as bob lists": _get("narrow", _MAPS, "User: bob"),
    "narrow as a node": _me("narrow", "User: system:node:n1"),
    "narrow as another node": _me("narrow", "User: system:node:n2"),
    "narrow as a node of groups": _me("narrow", "User: system:node:n1", "Group: dev"),
    "narrow as an account": _me("narrow", "User: system:serviceaccount:default:robot"),
    "narrow as another account": _me("narrow", "User: system:serviceaccount:default:other"),
    # front proxies
    "proxy for bob": _me("proxy:front-proxy-client", "X-Remote-User: bob", "X-Remote-Group: a, b", "X-Remote-Group: c"),
    "proxy with all": _me(
        "proxy:front-proxy-client", "X-Remote-User: jürgen", "X-Remote-Uid: 7", "X-Remote-Extra-A%2Fb: x",
        "X-Remote-Extra-A%2Fb: y, z",
    ),
    "proxy for nobody": _me("proxy:front-proxy-client"),
    "proxy of another name": _me("proxy:other", "X-Remote-User: bob"),
    "a person with a proxy's headers": _me("eve", "X-Remote-User: bob"),
    # health and the like
    "livez": _get("", "/livez"),
    "livez, one check": _get("", "/livez/ping"),
    "livez, no such check": _get("", "/livez/none"),
    "healthz, one check": _get("", "/healthz/etcd"),
    "healthz, wordy check": _get("", "/healthz/ping?verbose"),
    "readyz, excluding": _get("", "/readyz?exclude=etcd"),
    "readyz, excluding what is not": _get("", "/readyz?exclude=none"),
    "livez, one check, by one who may": _get("eve", "/livez/ping"),
    "livez, no such check, by one who may": _get("admin", "/livez/none"),
    "livez, etcd, wordy": _get("admin", "/livez/etcd?verbose"),
    "readyz, the policy": _get("admin", "/readyz/poststarthook/rbac/bootstrap-roles"),
    "readyz, informers": _get("admin", "/readyz/informer-sync"),
    "healthz with a slash": _get("", "/healthz/"),
    "posted health": ("admin", "POST", "/healthz", (), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_answers_are_the_same(both: tuple[Asker, Asker], name: str) -> None:
    ours, theirs = (asker.ask(*ROWS[name]) for asker in both)
    assert ours == theirs


@pytest.mark.parametrize(
    "path", ["/livez?verbose&exclude=etcd&exclude=b&exclude=a", "/readyz?verbose", "/healthz?verbose"]
)
def test_wordy_health_has_the_same_form(both: tuple[Asker, Asker], path: str) -> None:
    ours, theirs = (asker.ask("", "GET", path) for asker in both)
    assert (ours.status, ours.headers) == (theirs.status, theirs.headers)
    mine, others = ours.body.splitlines(), theirs.body.splitlines()
    # There are fewer hooks here, but none that upstream does not have.
    assert set(mine) <= set(others)
    assert [mine[0], mine[-1]] == [others[0], others[-1]]
    assert [each for each in mine if "exclude" in each] == [each for each in others if "exclude" in each]


def token_review(token: str, *audiences: str) -> dict[str, Any]:
    spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}


@pytest.mark.parametrize(
    ("asked", "audiences"),
    [
        ((), ()),
        ((), ("https://kubernetes.default.svc.cluster.local",)),
        ((), ("elsewhere",)),
        (("elsewhere",), ()),
        (("elsewhere", "there"), ("there",)),
        (("elsewhere", "there"), ("there", "https://kubernetes.default.svc.cluster.local")),
    ],
)
def test_tokens_are_reviewed_alike(both: tuple[Asker, Asker], asked: Sequence[str], audiences: Sequence[str]) -> None:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": list(asked)}}
    path = "/api/v1/namespaces/default/serviceaccounts/robot/token"
    for maker in both:
        made = maker.ask("admin", "POST", path, (), request)
        assert made.status == 201
        token = made.body["status"]["token"]
        answers = [
            asker.ask(
                "admin", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", (), token_review(token, *audiences)
            )
            for asker in both
        ]
        for answer in answers:
            answer.body.pop("metadata", None)
        assert answers[0] == answers[1]
        mine = [asker.ask(*_me("", f"Authorization: Bearer {token}")) for asker in both]
        assert mine[0] == mine[1]


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_tokens_of_nobody_are_reviewed_alike(both: tuple[Asker, Asker], token: str) -> None:
    answers = [
        asker.ask("admin", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", (), token_review(token))
        for asker in both
    ]
    for answer in answers:
        answer.body.pop("metadata", None)
    assert answers[0] == answers[1]


@pytest.fixture(scope="module")
def choosy(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[tuple[Asker, Asker]]:
    """(ours, upstream's), where requests without credentials are only served at some paths."""
    folder = tmp_path_factory.mktemp("choosy")
    configuration = folder / "authentication.yaml"
    conditions = [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/api/v1/namespaces/default/configmaps"}]
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": conditions},
    }
    configuration.write_text(yaml.safe_dump(document), encoding="utf-8")
    flags = [f"--authentication-config={configuration}"]
    with Cluster(folder / "ours", flags) as ours:
        stores = [ours.etcd.endpoint]
        with Cluster(
            folder / "theirs", flags, program=upstream("kube-apiserver"), stores=stores, keys=ours.keys
        ) as theirs:
            yield Asker(ours), Asker(theirs)


@pytest.mark.parametrize(
    "path",
    ["/livez", "/livez/", "/livez/ping", "/livez?verbose", "/readyz", "/healthz", "/version", _MAPS, f"{_MAPS}/x"],
)
def test_nobody_is_served_only_where_the_configuration_says(choosy: tuple[Asker, Asker], path: str) -> None:
    ours, theirs = (asker.ask("", "GET", path) for asker in choosy)
    if path.endswith("?verbose"):
        assert (ours.status, ours.headers) == (theirs.status, theirs.headers)
    else:
        assert ours == theirs
