"""Controllers of workloads and of what stands around them, on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import meta
from keelson.api.errors import StatusError
from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.cron_job import CronJobController
from keelson.kube_controller_manager.controllers.disruption import DisruptionController
from keelson.kube_controller_manager.controllers.endpoint import EndpointController
from keelson.kube_controller_manager.controllers.endpoint_slice_mirroring import EndpointSliceMirroringController
from keelson.kube_controller_manager.controllers.replica_set import ReplicationControllerController
from keelson.kube_controller_manager.controllers.ttl_after_finished import TtlAfterFinishedController
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("nodes")]
BUDGETS = "poddisruptionbudgets.policy"
SLICES = "endpointslices.discovery.k8s.io"


def replication_controller(namespace: str, size: int) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": size, "selector": {"app": "web"}, "template": template}
    return {"metadata": {"name": "web", "namespace": namespace}, "spec": spec}


async def test_a_replication_controller_keeps_its_number_adopts_and_releases(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def owned(count: int) -> Any:
        pods = (await client.list("pods", namespace=namespace))["items"]
        mine = [pod for pod in pods if meta.controller_of(pod) is not None]
        return mine if len(mine) == count else None

    async def ready() -> bool:
        status = (await client.get("replicationcontrollers", "web", namespace=namespace)).get("status") or {}
        return bool(status.get("readyReplicas") == 2 and status.get("availableReplicas") == 2)

    lone = {"metadata": {"name": "lone", "namespace": namespace, "labels": {"app": "web"}}}
    await client.create("pods", {**lone, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    async with controlling(ReplicationControllerController):
        await client.create("replicationcontrollers", replication_controller(namespace, 2))
        pods = await eventually(lambda: owned(2))
        assert "lone" in map(meta.name, pods)
        await eventually(ready)
        await client.patch("pods", "lone", {"metadata": {"labels": {"app": "other"}}}, namespace=namespace)

        async def released() -> bool:
            return meta.controller_of(await client.get("pods", "lone", namespace=namespace)) is None

        await eventually(released)
        await eventually(lambda: owned(2))
        await client.patch("replicationcontrollers", "web", {"spec": {"replicas": 0}}, namespace=namespace)
        await eventually(lambda: _none(client, namespace))


async def _none(client: Client, namespace: str) -> bool:
    pods = (await client.list("pods", namespace=namespace))["items"]
    return not any(meta.controller_of(pod) for pod in pods)


async def test_a_budget_holds_evictions_back(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def allows(count: int) -> bool:
        status = (await client.get(BUDGETS, "b", namespace=namespace)).get("status") or {}
        return bool(status.get("disruptionsAllowed") == count and status.get("observedGeneration"))

    async with controlling(ReplicationControllerController, DisruptionController):
        await client.create("replicationcontrollers", replication_controller(namespace, 3))
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        await client.create(BUDGETS, {"metadata": {"name": "b", "namespace": namespace}, "spec": spec})
        await eventually(lambda: allows(1))
    # No controller runs now: the first eviction spends what there is, and the second finds nothing.
    pods = sorted(meta.name(pod) for pod in (await client.list("pods", namespace=namespace))["items"])
    await client.evict(namespace, pods[0])
    with pytest.raises(StatusError) as caught:
        await client.evict(namespace, pods[1])
    assert caught.value.code == 429
    assert caught.value.details["causes"][0]["reason"] == "DisruptionBudget"
    async with controlling(ReplicationControllerController, DisruptionController):
        await eventually(lambda: allows(1))
        await client.evict(namespace, pods[1])


async def test_endpoints_follow_the_pods_and_slices_follow_endpoints_made_by_hand(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def subsets() -> Any:
        try:
            return (await client.get("endpoints", "s", namespace=namespace)).get("subsets")
        except StatusError:
            return None

    async def gone() -> bool:
        try:
            await client.get("endpoints", "s", namespace=namespace)
        except StatusError as error:
            return error.code == 404
        return False

    async def mirrored(count: int) -> Any:
        found = (await client.list(SLICES, namespace=namespace))["items"]
        return [found] if len(found) == count else None

    async with controlling(EndpointController, EndpointSliceMirroringController):
        port = {"port": 80, "targetPort": 8080}
        body = {
            "metadata": {"name": "s", "namespace": namespace},
            "spec": {"selector": {"app": "web"}, "ports": [port]},
        }
        await client.create("services", body)
        made = {"metadata": {"name": "p", "namespace": namespace, "labels": {"app": "web"}}}
        await client.create("pods", {**made, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        (subset,) = await eventually(subsets)
        assert [found["ip"] for found in subset["addresses"]] == ["10.0.0.1"]
        assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
        await client.delete("services", "s", namespace=namespace)
        await eventually(gone)

        plain = {"metadata": {"name": "h", "namespace": namespace}, "spec": {"ports": [{"port": 80}]}}
        await client.create("services", plain)
        by_hand = {
            "metadata": {"name": "h", "namespace": namespace},
            "subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}],
        }
        await client.create("endpoints", by_hand)
        ((found,),) = await eventually(lambda: mirrored(1))
        assert found["endpoints"][0]["addresses"] == ["10.1.2.3"]
        await client.delete("endpoints", "h", namespace=namespace)
        await eventually(lambda: mirrored(0))


async def test_a_cron_job_starts_jobs_and_forgets_the_old(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def active() -> Any:
        return (await client.get("cronjobs.batch", "tick", namespace=namespace)).get("status", {}).get("active")

    async def idle() -> bool:
        status = (await client.get("cronjobs.batch", "tick", namespace=namespace))["status"]
        return not status.get("active") and bool(status.get("lastSuccessfulTime"))

    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    spec = {"schedule": "@every 1s", "jobTemplate": {"spec": {"template": template}}}
    async with controlling(CronJobController):
        await client.create("cronjobs.batch", {"metadata": {"name": "tick", "namespace": namespace}, "spec": spec})
        (reference,) = await eventually(active)
        await client.patch("cronjobs.batch", "tick", {"spec": {"suspend": True}}, namespace=namespace)
        job = await client.get("jobs.batch", reference["name"], namespace=namespace)
        assert [owner["name"] for owner in meta.owners(job)] == ["tick"]
        now = meta.metadata(job)["creationTimestamp"]
        done = {"type": "Complete", "status": "True", "lastTransitionTime": now, "lastProbeTime": now}
        met = {**done, "type": "SuccessCriteriaMet"}
        status = {"startTime": now, "completionTime": now, "conditions": [met, done], "succeeded": 1}
        await client.update_status("jobs.batch", {**job, "status": status})
        await eventually(idle)


async def test_a_finished_job_goes_when_its_time_is_over(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    for name, seconds in (("short", 1), ("long", 900)):
        spec = {"template": template, "ttlSecondsAfterFinished": seconds}
        job = await client.create("jobs.batch", {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        now = meta.metadata(job)["creationTimestamp"]
        done = {"type": "Complete", "status": "True", "lastTransitionTime": now, "lastProbeTime": now}
        status = {"startTime": now, "completionTime": now, "conditions": [{**done, "type": "SuccessCriteriaMet"}, done]}
        await client.update_status("jobs.batch", {**job, "status": status})

    async def deleted() -> Any:
        found = (await client.list("jobs.batch", namespace=namespace))["items"]
        return [meta.name(job) for job in found if meta.is_deleting(job)]

    async with controlling(TtlAfterFinishedController):
        assert await eventually(deleted) == ["short"]


async def test_endpoints_of_no_service_are_their_makers_own(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def serve(name: str) -> None:
        service = {"metadata": {"name": name, "namespace": namespace}}
        await client.create("services", {**service, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})

        async def followed() -> bool:
            found = await client.list("endpoints", namespace=namespace)
            return any(meta.name(each) == name for each in found["items"])

        await eventually(followed)

    async with controlling(EndpointController):
        await serve("one")
        await client.create("endpoints", {"metadata": {"name": "own", "namespace": namespace}})
        # What is told of later is done later.
        await serve("two")
        assert meta.name(await client.get("endpoints", "own", namespace=namespace)) == "own"
