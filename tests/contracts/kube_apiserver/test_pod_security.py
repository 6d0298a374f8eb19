"""Pod security on a real server: what is refused, what is warned of, and what can't get around it."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api.errors import StatusError
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab
ENFORCE = "pod-security.kubernetes.io/enforce"
WARN = "pod-security.kubernetes.io/warn"


def pod(namespace: str, name: str, **context: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "image", "securityContext": context}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"containers": [container]}}


async def label(client: Client, namespace: str, **labels: str) -> None:
    stated = {f"pod-security.kubernetes.io/{name}": value for name, value in labels.items()}
    await client.patch("namespaces", namespace, {"metadata": {"labels": stated}})
    # A consistent read brings the cache, which admission reads, up to the write.
    await client.get("namespaces", namespace)


async def refused(call: Any, code: int = 403) -> str:
    with pytest.raises(StatusError) as caught:
        await call
    assert caught.value.code == code, caught.value
    return caught.value.message


async def test_a_level_is_enforced_and_nothing_without_one(client: Client, namespace: str) -> None:
    await client.create("pods", pod(namespace, "before", privileged=True))
    await label(client, namespace, enforce="baseline")
    assert await refused(client.create("pods", pod(namespace, "bad", privileged=True))) == (
        'pods "bad" is forbidden: violates PodSecurity "baseline:latest": privileged (container "main" must not set '
        "securityContext.privileged=true)"
    )
    await client.create("pods", pod(namespace, "good"))


async def test_a_container_added_later_is_judged_too(client: Client, namespace: str) -> None:
    await label(client, namespace, enforce="baseline")
    await client.create("pods", pod(namespace, "p"))
    spec = {"ephemeralContainers": [{"name": "debug", "image": "i", "securityContext": {"privileged": True}}]}
    call = client.patch(
        "pods", "p", {"spec": spec}, namespace=namespace, subresource="ephemeralcontainers",
        kind="application/strategic-merge-patch+json",
    )  # fmt: skip
    assert 'container "debug" must not set securityContext.privileged=true' in await refused(call)


async def test_labels_that_name_no_level_are_refused(client: Client) -> None:
    body = {"metadata": {"name": "sloppy", "labels": {ENFORCE: "sloppy"}}}
    message = await refused(client.create("namespaces", body), 422)
    assert "must be one of privileged, baseline, restricted" in message


def test_templates_and_raised_levels_are_warned_of(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "warned")
    cluster.kubectl("create", "serviceaccount", "default", "-n", "warned", check=False)
    cluster.kubectl("run", "bad", "-n", "warned", "--image=i", "--privileged")
    raised = cluster.kubectl("label", "namespace", "warned", f"{ENFORCE}=baseline", check=False)
    assert 'Warning: existing pods in namespace "warned" violate the new PodSecurity enforce level "baseline' in raised
    assert "Warning: bad: privileged" in raised
    cluster.kubectl("label", "namespace", "warned", f"{WARN}=restricted")
    warned = cluster.kubectl("create", "deployment", "web", "-n", "warned", "--image=i", check=False)
    assert "deployment.apps/web created" in warned
    assert 'Warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false' in warned
