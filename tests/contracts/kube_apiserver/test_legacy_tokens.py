"""Tokens of service accounts that lie in Secrets: good while the Secret holds them, and noted down when used."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from keelson.api.errors import StatusError
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

CLAIM = "kubernetes.io/serviceaccount/"
LAST_USED = "kubernetes.io/legacy-token-last-used"


@pytest.fixture
async def made(cluster: Cluster, client: Client, namespace: str) -> tuple[str, dict[str, Any]]:
    """(a token of the account `robot`, the Secret that holds it)."""
    robot = await client.create("serviceaccounts", {"metadata": {"name": "robot", "namespace": namespace}})
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": f"system:serviceaccount:{namespace}:robot",
        f"{CLAIM}namespace": namespace,
        f"{CLAIM}secret.name": "robot-token",
        f"{CLAIM}service-account.name": "robot",
        f"{CLAIM}service-account.uid": robot["metadata"]["uid"],
    }
    token = jwt.encode(claims, cluster.keys.account, algorithm="ES256")
    annotations = {
        "kubernetes.io/service-account.name": "robot",
        "kubernetes.io/service-account.uid": robot["metadata"]["uid"],
    }
    secret = {
        "metadata": {"name": "robot-token", "namespace": namespace, "annotations": annotations},
        "type": "kubernetes.io/service-account-token",
        "data": {"token": base64.b64encode(token.encode()).decode()},
    }
    return token, await client.create("secrets", secret)


async def user_of(cluster: Cluster, token: str) -> dict[str, Any]:
    config = kubeconfigs.load(cluster.kubeconfig(token=token))
    async with Client(config, user_agent="suite") as robot:
        review = await robot.create("selfsubjectreviews.authentication.k8s.io", {})
    found: dict[str, Any] = review["status"]["userInfo"]
    return found


async def test_a_token_is_its_account_and_its_use_is_noted(
    cluster: Cluster, client: Client, namespace: str, made: tuple[str, dict[str, Any]]
) -> None:
    token, secret = made
    user = await user_of(cluster, token)
    assert user["username"] == f"system:serviceaccount:{namespace}:robot"
    assert f"system:serviceaccounts:{namespace}" in user["groups"]
    days = {datetime.now(UTC).strftime("%Y-%m-%d")}
    used = await client.get("secrets", "robot-token", namespace=namespace)
    days.add(datetime.now(UTC).strftime("%Y-%m-%d"))
    assert used["metadata"]["labels"][LAST_USED] in days
    assert used["data"] == secret["data"]
    tracking = await client.get(
        "configmaps", "kube-apiserver-legacy-service-account-token-tracking", namespace="kube-system"
    )
    assert tracking["data"]["since"] <= max(days)


async def test_a_review_knows_it(client: Client, made: tuple[str, dict[str, Any]]) -> None:
    review = await client.create("tokenreviews.authentication.k8s.io", {"spec": {"token": made[0]}})
    assert review["status"]["authenticated"] is True
    foreign = {"spec": {"token": made[0], "audiences": ["somebody.example.com"]}}
    review = await client.create("tokenreviews.authentication.k8s.io", foreign)
    assert not review["status"].get("authenticated")


@pytest.mark.parametrize("how", ["deleted", "changed", "invalid", "account"])
async def test_it_ends_with_what_it_hangs_on(
    cluster: Cluster, client: Client, namespace: str, made: tuple[str, dict[str, Any]], how: str
) -> None:
    await user_of(cluster, made[0])
    match how:
        case "deleted":
            await client.delete("secrets", "robot-token", namespace=namespace)
        case "changed":
            other = {"data": {"token": base64.b64encode(b"other").decode()}}
            await client.patch("secrets", "robot-token", other, namespace=namespace)
        case "invalid":
            label = {"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}}}
            await client.patch("secrets", "robot-token", label, namespace=namespace)
        case "account":
            await client.delete("serviceaccounts", "robot", namespace=namespace)
    with pytest.raises(StatusError) as caught:
        await user_of(cluster, made[0])
    assert caught.value.code == 401
