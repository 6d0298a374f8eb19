"""Priority and fairness on a real server: defaults kept, requests classified, floods held back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

LEVELS = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server with few seats."""
    flags = ["--max-requests-inflight=20", "--max-mutating-requests-inflight=10", "--request-timeout=20s"]
    with Cluster(tmp_path_factory.mktemp("small"), flags) as found:
        yield found


@pytest.fixture
async def admin(small: Cluster) -> AsyncIterator[Client]:
    async with Client(kubeconfigs.load(str(small.folder / "admin.conf")), user_agent="suite") as found:
        yield found


async def test_defaults_are_there_and_come_back(admin: Client) -> None:
    names = {each["metadata"]["name"] for each in (await admin.list(LEVELS))["items"]}
    assert names == {"exempt", "catch-all", "system", "node-high", "leader-election", "workload-high", "workload-low",
                     "global-default"}  # fmt: skip

    async def settled() -> bool:
        schemas = (await admin.list(SCHEMAS))["items"]
        told = [condition for each in schemas for condition in (each.get("status") or {}).get("conditions") or ()]
        return len(schemas) == 11 and len(told) == 11 and all(each["status"] == "False" for each in told)

    await waits.until(settled)


async def test_a_new_schema_classifies_and_a_missing_level_is_told(small: Cluster, admin: Client) -> None:
    level = {"metadata": {"name": "suite"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}}  # fmt: skip
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "suite-user"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    spec = {"matchingPrecedence": 1000, "priorityLevelConfiguration": {"name": "suite"}, "rules": [rule]}
    schema = await admin.create(SCHEMAS, {"metadata": {"name": "suite"}, "spec": spec})

    async def dangling(status: str) -> bool:
        conditions = ((await admin.get(SCHEMAS, "suite")).get("status") or {}).get("conditions") or []
        return [(each["type"], each["status"]) for each in conditions] == [("Dangling", status)]

    await waits.until(lambda: dangling("True"))
    made = await admin.create(LEVELS, level)
    await waits.until(lambda: dangling("False"))
    async with small.session("suite-user", []) as session, session.get("/version") as answer:
        assert answer.headers["X-Kubernetes-PF-FlowSchema-UID"] == schema["metadata"]["uid"]
        assert answer.headers["X-Kubernetes-PF-PriorityLevel-UID"] == made["metadata"]["uid"]
    async with small.session("another-user", []) as session, session.get("/api/v1/pods") as answer:
        # Refusals tell their flow too.
        assert answer.status == 403
        default = (await admin.get(SCHEMAS, "global-default"))["metadata"]["uid"]
        assert answer.headers["X-Kubernetes-PF-FlowSchema-UID"] == default
    await admin.delete(SCHEMAS, "suite")
    await admin.delete(LEVELS, "suite")


async def test_a_flood_is_held_back_and_others_are_served(small: Cluster, admin: Client) -> None:
    limited = {"nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": {
        "type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 5}}}  # fmt: skip
    await admin.create(LEVELS, {"metadata": {"name": "narrow"}, "spec": {"type": "Limited", "limited": limited}})
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "flooder"}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
    }
    spec = {"matchingPrecedence": 1000, "priorityLevelConfiguration": {"name": "narrow"}, "rules": [rule]}
    await admin.create(SCHEMAS, {"metadata": {"name": "flooder"}, "spec": spec})
    await admin.create("clusterrolebindings.rbac.authorization.k8s.io", {
        "metadata": {"name": "flooder"},
        "roleRef": {"kind": "ClusterRole", "name": "edit", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "flooder", "apiGroup": "rbac.authorization.k8s.io"}],
    })  # fmt: skip
    schema = (await admin.get(SCHEMAS, "flooder"))["metadata"]["uid"]
    async with small.session("flooder", []) as session:
        path = "/api/v1/namespaces/default/configmaps"

        async def classified() -> bool:
            async with session.get(path) as answer:
                return answer.status == 200 and answer.headers["X-Kubernetes-PF-FlowSchema-UID"] == schema

        await waits.until(classified)

        async def one(number: int) -> tuple[int, str]:
            async with session.post(path, json={"metadata": {"name": f"flood-{number}"}}) as answer:
                return answer.status, answer.headers.get("Retry-After", "")

        flood = asyncio.gather(*(one(number) for number in range(60)))
        # Whoever has another level is served meanwhile.
        assert await admin.get("namespaces", "default")
        answers = await flood
    refused = [wait for status, wait in answers if status == 429]
    assert len(refused) + sum(status == 201 for status, _ in answers) == 60
    assert refused
    assert all(wait.isdigit() and int(wait) >= 1 for wait in refused)
    async with small.session() as session, session.get("/metrics") as answer:
        lines = [line for line in (await answer.text()).splitlines() if 'flow_schema="flooder"' in line]
    rejected = "apiserver_flowcontrol_rejected_requests_total{"
    assert [line for line in lines if line.startswith(rejected) and 'reason="queue-full"' in line]


async def test_without_fairness_the_plain_limit_holds(tmp_path: Path) -> None:
    flags = ["--enable-priority-and-fairness=false", "--max-mutating-requests-inflight=1"]
    with Cluster(tmp_path / "plain", flags) as plain:
        async with plain.session() as session:

            async def one(number: int) -> int:
                body = {"metadata": {"name": f"limited-{number}"}}
                async with session.post("/api/v1/namespaces/default/configmaps", json=body) as answer:
                    assert "X-Kubernetes-PF-FlowSchema-UID" not in answer.headers
                    return answer.status

            statuses = await asyncio.gather(*(one(number) for number in range(40)))
    assert set(statuses) == {201, 429}
