"""Preemption on a real server: what victims, the pod that preempts and the events say, and who gets the room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from keelson.api import meta
from keelson.client.rest import Client
from keelson.component_base import metrics
from tests.contracts.conftest import Eventually

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("scheduler")]

CLASSES = "priorityclasses.scheduling.k8s.io"
BUDGETS = "poddisruptionbudgets.policy"


@pytest.fixture
async def classes(client: Client, namespace: str) -> AsyncIterator[None]:
    """Priority classes low, middle, high, and never, which is high and preempts nobody."""
    names = {"low": 1, "middle": 5, "high": 10, "never": 10}
    for name, value in names.items():
        policy = "Never" if name == "never" else "PreemptLowerPriority"
        await client.create(
            CLASSES, {"metadata": {"name": f"{namespace}-{name}"}, "value": value, "preemptionPolicy": policy}
        )
    yield
    for name in names:
        await client.delete(CLASSES, f"{namespace}-{name}")


@pytest.fixture
async def node(client: Client, namespace: str) -> AsyncIterator[str]:
    """A node of two CPUs that only pods of this namespace ask for."""
    name = f"node-{namespace}"
    allocatable = {"cpu": "2", "memory": "8Gi", "pods": "110"}
    await client.create("nodes", {"metadata": {"name": name, "labels": {"of": namespace}}})
    status = {"allocatable": allocatable, "capacity": allocatable}
    await client.patch("nodes", name, {"status": status}, subresource="status")
    # A new node is tainted until it is ready (admission plugin TaintNodesByCondition).
    await client.patch("nodes", name, {"spec": {"taints": None}})
    yield name
    for pod in (await client.list("pods", namespace=namespace))["items"]:
        await client.delete("pods", meta.name(pod), namespace=namespace, grace_period_seconds=0)
    await client.delete("nodes", name)


async def create(
    client: Client, namespace: str, name: str, cpu: str, priority: str, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A pod for the namespace's node."""
    spec = {
        "nodeSelector": {"of": namespace},
        "priorityClassName": f"{namespace}-{priority}",
        "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}],
    }
    head = {"name": name, "namespace": namespace, "labels": dict(labels or {})}
    return await client.create("pods", {"metadata": head, "spec": spec})


def sample(name: str) -> float:
    """The value of a metric of this process that has no labels."""
    return metrics.REGISTRY.get_sample_value(name) or 0.0


async def test_a_pod_of_higher_priority_gets_the_room_of_a_lesser_one(
    client: Client, namespace: str, classes: None, node: str, eventually: Eventually
) -> None:
    async def get(name: str) -> dict[str, Any]:
        return await client.get("pods", name, namespace=namespace)

    async def placed(name: str) -> Any:
        return (await get(name))["spec"].get("nodeName")

    async def ending(name: str) -> Any:
        pod = await get(name)
        return pod if meta.is_deleting(pod) else None

    async def nominated() -> Any:
        pod = await get("high")
        return pod if (pod.get("status") or {}).get("nominatedNodeName") else None

    attempts, victims = sample("scheduler_preemption_attempts_total"), sample("scheduler_preemption_victims_sum")
    await create(client, namespace, "low", "1", "low")
    await create(client, namespace, "middle", "1", "middle")
    assert await eventually(lambda: placed("low")) == node
    assert await eventually(lambda: placed("middle")) == node
    high = await create(client, namespace, "high", "1", "high")
    victim = await eventually(lambda: ending("low"))
    condition = meta.condition(victim, "DisruptionTarget") or {}
    assert condition["status"] == "True"
    assert condition["reason"] == "PreemptionByScheduler"
    assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    pod = await eventually(nominated)
    assert pod["status"]["nominatedNodeName"] == node
    assert (meta.condition(pod, "PodScheduled") or {})["reason"] == "Unschedulable"

    async def told() -> Any:
        events = (await client.list("events", namespace=namespace))["items"]
        return next((found for found in events if found["reason"] == "Preempted"), None)

    event = await eventually(told)
    assert event["involvedObject"]["name"] == "low"
    assert event["message"] == f"Preempted by pod {meta.uid(high)} on node {node}"
    assert event["related"]["name"] == "high"
    assert event["action"] == "Preempting"
    # Whoever comes meanwhile does not get the place, and nobody else leaves.
    await create(client, namespace, "late", "1", "low")
    await client.delete("pods", "low", namespace=namespace, grace_period_seconds=0)
    assert await eventually(lambda: placed("high")) == node
    assert "nominatedNodeName" not in (await get("high"))["status"]
    assert not await placed("late")
    assert not meta.is_deleting(await get("middle"))
    assert sample("scheduler_preemption_attempts_total") > attempts
    assert sample("scheduler_preemption_victims_sum") > victims


async def test_it_waits_for_its_victims_and_preempts_no_more(
    client: Client, namespace: str, classes: None, node: str, eventually: Eventually
) -> None:
    async def pods() -> dict[str, dict[str, Any]]:
        return {meta.name(pod): pod for pod in (await client.list("pods", namespace=namespace))["items"]}

    for name in ("a", "b"):
        await create(client, namespace, name, "1", "low")

    async def both() -> bool:
        return all(pod["spec"].get("nodeName") for pod in (await pods()).values())

    await eventually(both)
    await create(client, namespace, "high", "1", "high")

    async def one_ends() -> Any:
        return [name for name, pod in (await pods()).items() if meta.is_deleting(pod)]

    victims = await eventually(one_ends)
    # A node's change makes the pod be tried again; it finds its victim still there.
    await client.patch("nodes", node, {"metadata": {"labels": {"changed": "yes"}}})

    async def waits() -> bool:
        message = (meta.condition((await pods())["high"], "PodScheduled") or {}).get("message") or ""
        return "not eligible due to a terminating pod on the nominated node." in message

    await eventually(waits)
    assert await one_ends() == victims
    await client.delete("pods", victims[0], namespace=namespace, grace_period_seconds=0)

    async def placed() -> bool:
        return bool((await pods())["high"]["spec"].get("nodeName"))

    await eventually(placed)


async def test_never_preempts_and_says_so(
    client: Client, namespace: str, classes: None, node: str, eventually: Eventually
) -> None:
    await create(client, namespace, "low", "2", "low")

    async def placed() -> bool:
        return bool((await client.get("pods", "low", namespace=namespace))["spec"].get("nodeName"))

    await eventually(placed)
    await create(client, namespace, "never", "1", "never")

    async def refused() -> Any:
        pod = await client.get("pods", "never", namespace=namespace)
        return (meta.condition(pod, "PodScheduled") or {}).get("message")

    message = await eventually(refused)
    assert message.startswith("0/1 nodes are available: 1 Insufficient cpu.")
    assert message.endswith(" preemption: not eligible due to preemptionPolicy=Never.")
    assert not meta.is_deleting(await client.get("pods", "low", namespace=namespace))


async def test_a_budget_chooses_another_victim(
    client: Client, namespace: str, classes: None, node: str, eventually: Eventually
) -> None:
    await client.create(
        BUDGETS,
        {
            "metadata": {"name": "db", "namespace": namespace},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}},
        },
    )
    await create(client, namespace, "guarded", "1", "low", {"app": "db"})
    await create(client, namespace, "free", "1", "middle")

    async def both() -> bool:
        return all(pod["spec"].get("nodeName") for pod in (await client.list("pods", namespace=namespace))["items"])

    await eventually(both)
    await create(client, namespace, "high", "1", "high")

    async def victims() -> Any:
        return [
            meta.name(pod) for pod in (await client.list("pods", namespace=namespace))["items"] if meta.is_deleting(pod)
        ]

    assert await eventually(victims) == ["free"]


async def test_a_nomination_ends_for_a_greater_pod(
    client: Client, namespace: str, classes: None, node: str, eventually: Eventually
) -> None:
    async def status(name: str) -> Any:
        return (await client.get("pods", name, namespace=namespace)).get("status") or {}

    await create(client, namespace, "low", "2", "low")

    async def placed(name: str) -> bool:
        return bool((await client.get("pods", name, namespace=namespace))["spec"].get("nodeName"))

    await eventually(lambda: placed("low"))
    await create(client, namespace, "middle", "2", "middle")

    async def nominated(name: str) -> bool:
        return bool((await status(name)).get("nominatedNodeName"))

    await eventually(lambda: nominated("middle"))
    await create(client, namespace, "high", "2", "high")
    await eventually(lambda: nominated("high"))

    async def outdone() -> bool:
        return not await nominated("middle")

    await eventually(outdone)
    await client.delete("pods", "low", namespace=namespace, grace_period_seconds=0)
    await eventually(lambda: placed("high"))
    assert not await placed("middle")
