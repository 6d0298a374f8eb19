"""Limit ranges and resource quotas on a real server, many writers at once included."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keelson.api.errors import StatusError
from keelson.client.rest import Client

pytestmark = pytest.mark.lab


def pod(namespace: str, name: str, **requests: str) -> dict[str, Any]:
    container = {"name": "main", "image": "image", "resources": {"requests": requests}}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"containers": [container]}}


async def quota(client: Client, namespace: str, **hard: str) -> None:
    """A quota as the controller leaves it once it has counted an empty namespace."""
    limits = {name.replace("_", "/"): value for name, value in hard.items()}
    made = await client.create(
        "resourcequotas", {"metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": limits}}
    )
    status = {"hard": limits, "used": dict.fromkeys(limits, "0")}
    await client.update_status("resourcequotas", {**made, "status": status})
    # A read that is consistent brings the cache, which admission reads, up to the write.
    await client.get("resourcequotas", "q", namespace=namespace)


async def used(client: Client, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("resourcequotas", "q", namespace=namespace))["status"]["used"]
    return found


async def refused(call: Any) -> str:
    with pytest.raises(StatusError) as caught:
        await call
    assert caught.value.code == 403, caught.value
    return caught.value.message


async def test_a_quota_bears_what_it_allows_and_no_more(client: Client, namespace: str) -> None:
    await quota(client, namespace, cpu="1", count_configmaps="3")
    await client.create("pods", pod(namespace, "a", cpu="600m"))
    assert await used(client, namespace) == {"cpu": "600m", "count/configmaps": "0"}
    assert await refused(client.create("pods", pod(namespace, "b", cpu="500m"))) == (
        'pods "b" is forbidden: exceeded quota: q, requested: cpu=500m, used: cpu=600m, limited: cpu=1'
    )
    assert "must specify cpu for: main" in await refused(client.create("pods", pod(namespace, "b")))


async def test_a_dry_run_is_judged_and_not_charged(client: Client, namespace: str) -> None:
    await quota(client, namespace, pods="0")
    path = f"/api/v1/namespaces/{namespace}/pods"
    body = b'{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}'
    headers = {"Content-Type": "application/json"}
    with pytest.raises(StatusError, match="exceeded quota"):
        await client.request("POST", path, query={"dryRun": "All"}, body=body, headers=headers)
    more = {"status": {"hard": {"pods": "1"}}}
    await client.patch("resourcequotas", "q", more, namespace=namespace, subresource="status")
    await client.get("resourcequotas", "q", namespace=namespace)
    await client.request("POST", path, query={"dryRun": "All"}, body=body, headers=headers)
    assert await used(client, namespace) == {"pods": "0"}


async def test_writers_at_once_never_take_more_than_there_is(client: Client, namespace: str) -> None:
    await quota(client, namespace, count_configmaps="20")

    async def one(number: int) -> bool:
        try:
            await client.create("configmaps", {"metadata": {"name": f"c{number}", "namespace": namespace}})
        except StatusError as error:
            if "exceeded quota" not in error.message:
                raise
            return False
        return True

    made = await asyncio.gather(*(one(number) for number in range(60)))
    assert sum(made) == 20
    assert len((await client.list("configmaps", namespace=namespace))["items"]) == 20
    assert await used(client, namespace) == {"count/configmaps": "20"}


async def test_a_controller_that_counts_meanwhile_loses_no_charge(client: Client, namespace: str) -> None:
    await quota(client, namespace, count_configmaps="40")

    async def count() -> None:
        for _ in range(20):
            found = await client.get("resourcequotas", "q", namespace=namespace)
            found["metadata"]["annotations"] = {"seen": found["metadata"]["resourceVersion"]}
            try:
                await client.update("resourcequotas", found)
            except StatusError as error:
                if error.code != 409:
                    raise

    names = [f"c{number}" for number in range(40)]
    creations = (client.create("configmaps", {"metadata": {"name": name, "namespace": namespace}}) for name in names)
    await asyncio.gather(count(), *creations)
    assert await used(client, namespace) == {"count/configmaps": "40"}


async def test_limit_ranges_fill_in_and_refuse(client: Client, namespace: str) -> None:
    limit = {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}
    body = {"metadata": {"name": "l", "namespace": namespace}, "spec": {"limits": [limit]}}
    await client.create("limitranges", body)
    await client.get("limitranges", "l", namespace=namespace)
    made = await client.create("pods", pod(namespace, "a"))
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container main; cpu limit for container main"
    )
    greedy = pod(namespace, "b", cpu="2")
    greedy["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "2"}
    assert await refused(client.create("pods", greedy)) == (
        'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    )
