"""Tokens of others on a real server: OpenID providers by file and by flags, webhooks, and who may be anonymous."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.token_issuers import HttpsServer, Issuer

pytestmark = pytest.mark.lab

_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def _who(cluster: Cluster, token: str) -> dict[str, Any] | int:
    """Whom the server takes the bearer of a token for, or the status of its refusal."""
    headers = {"Authorization": f"Bearer {token}"}
    body = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    async with cluster.session("") as session, session.post(_REVIEWS, json=body, headers=headers) as answer:
        if answer.status != 201:
            return answer.status
        found: dict[str, Any] = (await answer.json())["status"]["userInfo"]
        return found


def _configuration(issuer: Issuer, **more: Any) -> dict[str, Any]:
    entry = {
        "issuer": {"url": issuer.url, "certificateAuthority": issuer.authority.pem.decode(),
                   "audiences": ["cluster", "other"], "audienceMatchPolicy": "MatchAny"},
        "claimValidationRules": [
            {"claim": "tenant", "requiredValue": "ours"},
            {"expression": "!has(claims.banned) || claims.banned == false", "message": "banned"},
        ],
        "claimMappings": {
            "username": {"expression": "'oidc:' + claims.name"},
            "groups": {"expression": "claims.roles.filter(r, r != 'internal').map(r, 'role:' + r)"},
            "uid": {"claim": "sub"},
            "extra": [{"key": "example.com/tenant", "valueExpression": "claims.tenant"}],
        },
        "userValidationRules": [
            {"expression": "!user.username.endsWith('root')", "message": "no root"},
            {"expression": "user.groups.all(g, !g.startsWith('system:'))"},
        ],
    }  # fmt: skip
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [entry], **more}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with Issuer(tmp_path_factory.mktemp("issuer")) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    anonymous = {"enabled": True, "conditions": [{"path": "/readyz"}, {"path": "/livez"}]}
    path = folder / "authentication.yaml"
    path.write_text(yaml.safe_dump(_configuration(issuer, anonymous=anonymous)), encoding="utf-8")
    with Cluster(folder, [f"--authentication-config={path}"]) as found:
        yield found


def _claims(**more: Any) -> dict[str, Any]:
    return {"name": "alice", "roles": ["dev", "internal"], "tenant": "ours", "jti": "one", **more}


async def test_claims_become_a_user(cluster: Cluster, issuer: Issuer) -> None:
    assert await _who(cluster, issuer.token(**_claims())) == {
        "username": "oidc:alice",
        "uid": "42",
        "groups": ["role:dev", "system:authenticated"],
        "extra": {"example.com/tenant": ["ours"], "authentication.kubernetes.io/credential-id": ["JTI=one"]},
    }


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"nbf": int(time.time()) + 3600},
        {"aud": "elsewhere"},
        {"aud": None},
        {"tenant": "theirs"},
        {"tenant": None},
        {"banned": True},
        {"name": "root"},
        {"name": 7},
        {"roles": "dev"},
        {"roles": ["dev", 7]},
    ],
)
async def test_tokens_that_break_a_rule_are_refused(cluster: Cluster, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert await _who(cluster, issuer.token(**{**_claims(), **claims})) == 401


async def test_forged_tokens_are_refused(cluster: Cluster, issuer: Issuer) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    assert await _who(cluster, issuer.token(key=stranger, algorithm="RS256", **_claims())) == 401
    # The algorithm is never the token's choice: neither none nor a MAC made with what everybody knows.
    head, body, _ = issuer.token(**_claims()).split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    assert await _who(cluster, f"{none}.{body}.") == 401
    assert await _who(cluster, issuer.token(key="k" * 32, algorithm="HS256", **_claims())) == 401
    assert await _who(cluster, f"{head}.{body}.AAAA") == 401
    own = {"iss": "https://kubernetes.default.svc.cluster.local"}
    assert await _who(cluster, issuer.token(**{**_claims(), **own})) == 401


async def test_rotated_keys_are_found(cluster: Cluster, issuer: Issuer) -> None:
    old = issuer.token(**_claims(jti="old"))
    issuer.rotate(elliptic=True)

    async def known() -> bool:
        return isinstance(await _who(cluster, issuer.token(**_claims(jti="new"))), dict)

    # The keys are fetched again at most once a second.
    await waits.until(known)
    assert await _who(cluster, old) == 401


async def test_unknown_keys_do_not_make_a_fetch_each(cluster: Cluster, issuer: Issuer) -> None:
    before = issuer.fetches
    stranger = rsa.generate_private_key(65537, 2048)
    tokens = []
    for number in range(20):
        issuer._generation += 1
        tokens.append(issuer.token(key=stranger, algorithm="RS256", **_claims(jti=str(number))))
    issuer._generation -= 20
    assert set(map(str, await asyncio.gather(*(_who(cluster, token) for token in tokens)))) == {"401"}
    assert issuer.fetches - before <= 6


async def test_only_some_paths_are_for_anybody(cluster: Cluster) -> None:
    async with cluster.session("") as nobody:
        for path, status in (("/readyz", 200), ("/livez", 200), ("/version", 401), ("/api/v1/pods", 401)):
            async with nobody.get(path) as answer:
                assert answer.status == status, path


async def test_the_file_is_read_again_when_it_changes(cluster: Cluster, issuer: Issuer) -> None:
    path = cluster.folder / "authentication.yaml"
    configuration = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text("nonsense", encoding="utf-8")
    configuration["jwt"][0]["claimMappings"]["username"]["expression"] = "'changed:' + claims.name"
    path.write_text(yaml.safe_dump(configuration), encoding="utf-8")

    async def changed() -> bool:
        found = await _who(cluster, issuer.token(**_claims(jti=str(time.time()))))
        return isinstance(found, dict) and found["username"] == "changed:alice"

    await waits.until(changed)


async def test_a_review_tells_why(cluster: Cluster, issuer: Issuer) -> None:
    async with cluster.session() as session:
        path = "/apis/authentication.k8s.io/v1/tokenreviews"

        async def review(token: str, **more: Any) -> dict[str, Any]:
            spec = {"token": token, **more}
            body = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
            async with session.post(path, json=body) as answer:
                found: dict[str, Any] = (await answer.json())["status"]
                return found

        assert "expired" in (await review(issuer.token(**_claims(exp=1))))["error"]
        good = issuer.token(**_claims())
        assert (await review(good))["authenticated"] is True
        # Such a token is for this server, whatever its reviewer would like it to be for.
        assert "authenticated" not in await review(good, audiences=["vault"])


async def test_flags_describe_an_issuer_too(tmp_path: Path, issuer: Issuer) -> None:
    authority = tmp_path / "issuer-ca.crt"
    authority.write_bytes(issuer.authority.pem)
    flags = [
        f"--oidc-issuer-url={issuer.url}", "--oidc-client-id=cluster", f"--oidc-ca-file={authority}",
        "--oidc-signing-algs=RS256,ES256", "--oidc-groups-claim=roles", "--oidc-groups-prefix=g:",
        "--oidc-username-claim=email", "--oidc-required-claim=tenant=ours",
    ]  # fmt: skip
    with Cluster(tmp_path / "cluster", flags) as cluster:
        claims = _claims(email="alice@example.com", email_verified=True)
        found = await _who(cluster, issuer.token(**claims))
        assert isinstance(found, dict)
        assert found["username"] == "alice@example.com"
        assert found["groups"] == ["g:dev", "g:internal", "system:authenticated"]
        assert await _who(cluster, issuer.token(**{**claims, "email_verified": False, "jti": "two"})) == 401
        assert await _who(cluster, issuer.token(**{**claims, "tenant": "theirs", "jti": "three"})) == 401


async def test_a_webhook_knows_tokens(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def answer(_path: str, body: bytes) -> tuple[int, Any]:
        review = json.loads(body)
        asked.append(review)
        token = review["spec"]["token"]
        if token == "broken":
            return 500, {}
        status: dict[str, Any] = {"authenticated": False, "error": "never heard of it"}
        if token == "good":
            user = {"username": "carol", "uid": "7", "groups": ["devs"], "extra": {"scope": ["a"]}}
            status = {"authenticated": True, "user": user}
        if token == "for-others":
            status = {"authenticated": True, "user": {"username": "carol"}, "audiences": ["vault"]}
        return 200, {**review, "status": status}

    with HttpsServer(tmp_path / "webhook", answer) as webhook:
        flags = [
            f"--authentication-token-webhook-config-file={webhook.kubeconfig(tmp_path / 'webhook.conf')}",
            "--authentication-token-webhook-version=v1",
        ]
        with Cluster(tmp_path / "cluster", flags) as cluster:
            for _ in range(3):
                assert await _who(cluster, "good") == {
                    "username": "carol", "uid": "7", "groups": ["devs", "system:authenticated"],
                    "extra": {"scope": ["a"]},
                }  # fmt: skip
                assert await _who(cluster, "bad") == 401
            # Answers are believed for a while, good and bad ones.
            assert [each["spec"]["token"] for each in asked] == ["good", "bad"]
            assert asked[0]["apiVersion"] == "authentication.k8s.io/v1"
            assert asked[0]["spec"]["audiences"] == ["https://kubernetes.default.svc.cluster.local"]
            assert await _who(cluster, "for-others") == 401
            assert await _who(cluster, "broken") == 401
            assert len([each for each in asked if each["spec"]["token"] == "broken"]) == 5
