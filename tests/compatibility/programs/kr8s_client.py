"""What kr8s does to Deployments, ConfigMaps and Things: `python kr8s_client.py KUBECONFIG`; fails where it may not."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import kr8s.asyncio
from kr8s.asyncio import objects


async def work(kubeconfig: str) -> None:
    """All of it."""
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig)
    assert (await api.version())["gitVersion"].startswith("v1.36")
    assert "things.example.com/v1" in {
        f"{each['name']}.{each['version']}" for each in await api.api_resources() if each["name"] == "things"
    }
    labels = {"app": "site"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {
        "metadata": {"name": "site", "namespace": "default"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    deployment = await objects.Deployment(body, api=api)
    await deployment.create()
    assert await deployment.exists()
    await deployment.label({"tier": "front"})
    await deployment.annotate({"note": "x"})
    await deployment.patch({"spec": {"minReadySeconds": 1}})
    await deployment.refresh()
    assert deployment.labels["tier"] == "front"
    assert deployment.raw.spec.minReadySeconds == 1
    found = [getattr(each, "name", "") async for each in api.get("deployments", label_selector={"tier": "front"})]
    assert found == ["site"]
    thing_class = objects.new_class("Thing", "example.com/v1", asyncio=True)
    thing = await thing_class({"metadata": {"name": "two", "namespace": "default"}, "spec": {"size": 1}}, api=api)
    await thing.create()

    async def next_change() -> tuple[str, str]:
        changes = api.watch("configmaps", namespace="default")
        async with contextlib.aclosing(changes):
            async for type_, obj in changes:
                if getattr(obj, "name", "") == "seen":
                    return type_, "seen"
        raise AssertionError("the watch ended")

    async with asyncio.timeout(20):
        watching = asyncio.create_task(next_change())
        config = await objects.ConfigMap(
            {"metadata": {"name": "seen", "namespace": "default"}, "data": {"a": "b"}}, api=api
        )
        await config.create()
        assert await watching == ("ADDED", "seen")
    for each in (config, thing, deployment):
        await each.delete()
        assert not await each.exists()


asyncio.run(work(sys.argv[1]))
