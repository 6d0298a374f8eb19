"""A StatefulSet on a real server: its pods in order, their claims, an update, and its end."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import meta
from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.stateful_set import StatefulSetController
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("nodes")]
SETS = "statefulsets.apps"


def stateful_set(namespace: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    return {
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": 3,
            "serviceName": "web",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
            "volumeClaimTemplates": [claim],
            **spec,
        },
    }


async def test_scaled_updated_rolled_back_and_shrunk(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def status(**wanted: Any) -> bool:
        found = (await client.get(SETS, "web", namespace=namespace)).get("status") or {}
        return all(found.get(name, 0) == value for name, value in wanted.items())

    async def images() -> list[str]:
        pods = (await client.list("pods", namespace=namespace))["items"]
        return [pod["spec"]["containers"][0]["image"] for pod in sorted(pods, key=meta.name)]

    def image(text: str) -> dict[str, Any]:
        return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": text}]}}}}

    async with controlling(StatefulSetController):
        await client.create(SETS, stateful_set(namespace))
        await eventually(lambda: status(readyReplicas=3, replicas=3, updatedReplicas=3))
        pods = (await client.list("pods", namespace=namespace))["items"]
        names = [meta.name(pod) for pod in sorted(pods, key=lambda pod: int(meta.resource_version(pod)))]
        assert sorted(names) == ["web-0", "web-1", "web-2"]
        claims = (await client.list("persistentvolumeclaims", namespace=namespace))["items"]
        assert sorted(map(meta.name, claims)) == ["data-web-0", "data-web-1", "data-web-2"]
        first = (await client.get(SETS, "web", namespace=namespace))["status"]["currentRevision"]

        await client.patch(SETS, "web", image("two"), namespace=namespace)
        await eventually(lambda: status(readyReplicas=3, updatedReplicas=3, observedGeneration=2))
        assert await images() == ["two"] * 3
        second = (await client.get(SETS, "web", namespace=namespace))["status"]["currentRevision"]
        assert second != first

        await client.patch(SETS, "web", image("one"), namespace=namespace)
        await eventually(lambda: status(readyReplicas=3, currentRevision=first, observedGeneration=3))
        kept = (await client.list("controllerrevisions.apps", namespace=namespace))["items"]
        assert {meta.name(found): found["revision"] for found in kept} == {first: 3, second: 2}

        await client.patch(SETS, "web", {"spec": {"replicas": 1}}, namespace=namespace)
        await eventually(lambda: status(replicas=1, readyReplicas=1))
        assert len((await client.list("persistentvolumeclaims", namespace=namespace))["items"]) == 3


async def test_a_pod_that_was_deleted_or_ended_comes_back_under_its_name(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    seen: set[str] = set()

    async def fresh() -> bool:
        pods = (await client.list("pods", namespace=namespace))["items"]
        ready = [pod for pod in pods if meta.condition_is(pod, "Ready") and meta.uid(pod) not in seen]
        return len(ready) == 1 and meta.name(ready[0]) == "web-0"

    async with controlling(StatefulSetController):
        await client.create(SETS, stateful_set(namespace, replicas=1))
        for end in ("deleted", "failed", "none"):
            await eventually(fresh)
            pod = await client.get("pods", "web-0", namespace=namespace)
            seen.add(meta.uid(pod))
            if end == "deleted":
                await client.delete("pods", "web-0", namespace=namespace)
            elif end == "failed":
                patch = {"status": {"phase": "Failed"}}
                await client.patch("pods", "web-0", patch, namespace=namespace, subresource="status")


async def test_claims_go_with_the_pod_when_the_policy_says_so(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def owners() -> dict[str, list[str]]:
        claims = (await client.list("persistentvolumeclaims", namespace=namespace))["items"]
        return {meta.name(claim): [owner["kind"] for owner in meta.owners(claim)] for claim in claims}

    async def owned_by(first: str, second: str) -> bool:
        return await owners() == {"data-web-0": [first], "data-web-1": [second]}

    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    async with controlling(StatefulSetController):
        await client.create(SETS, stateful_set(namespace, replicas=2, persistentVolumeClaimRetentionPolicy=policy))
        await eventually(lambda: owned_by("StatefulSet", "StatefulSet"))

        async def both() -> bool:
            found = await client.get(SETS, "web", namespace=namespace)
            return bool((found.get("status") or {}).get("readyReplicas") == 2)

        await eventually(both)
        await client.patch(SETS, "web", {"spec": {"replicas": 1}}, namespace=namespace)
        await eventually(lambda: owned_by("StatefulSet", "Pod"))
