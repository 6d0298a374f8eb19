"""The audit log of a real server: what each level shows and what it must not, to a file and to a webhook."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: None
    users: [system:apiserver]
  - level: None
    nonResourceURLs: [/readyz]
  - level: Metadata
    omitStages: [RequestReceived]
    resources: [{group: "", resources: [secrets, serviceaccounts/token]}]
  - level: RequestResponse
    omitManagedFields: true
    omitStages: [RequestReceived]
    resources: [{group: "", resources: [configmaps]}]
  - level: Metadata
"""
_NAMESPACE = "/api/v1/namespaces/default"


def _policy(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "policy.yaml"
    path.write_text(_POLICY, encoding="utf-8")
    return f"--audit-policy-file={path}"


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("audited")
    flags = ["--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=20000"]
    with Cluster(folder, [_policy(folder), f"--audit-log-path={folder}/audit.log", *flags]) as found:
        yield found


def _events(cluster: Cluster, **wanted: str) -> list[dict[str, Any]]:
    lines = (cluster.folder / "audit.log").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    return [each for each in events if all(each.get(key) == value for key, value in wanted.items())]


async def test_bodies_are_recorded_where_the_policy_wants_them(audited: Cluster) -> None:
    async with audited.session() as session:
        body = {"metadata": {"name": "shown"}, "data": {"a": "first"}}
        headers = {"Audit-ID": "given-by-me", "User-Agent": "suite"}
        async with session.post(f"{_NAMESPACE}/configmaps", json=body, headers=headers) as answer:
            assert answer.headers["Audit-Id"] == "given-by-me"
    (event,) = _events(audited, auditID="given-by-me")
    assert (event["kind"], event["apiVersion"], event["level"]) == ("Event", "audit.k8s.io/v1", "RequestResponse")
    assert (event["stage"], event["verb"], event["userAgent"]) == ("ResponseComplete", "create", "suite")
    assert event["requestURI"] == f"{_NAMESPACE}/configmaps"
    assert event["user"]["username"] == "admin"
    assert "system:masters" in event["user"]["groups"]
    assert event["sourceIPs"] == ["127.0.0.1"]
    assert event["objectRef"] == {
        "resource": "configmaps", "namespace": "default", "name": "shown", "apiVersion": "v1",
    }  # fmt: skip
    assert event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["requestObject"]["data"] == event["responseObject"]["data"] == {"a": "first"}
    assert event["responseObject"]["metadata"]["uid"]
    assert "managedFields" not in event["responseObject"]["metadata"]
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_what_is_too_large_is_recorded_without_its_objects(audited: Cluster) -> None:
    async with audited.session() as session:
        body = {"metadata": {"name": "large"}, "data": {"a": "x" * 20_000}}
        async with session.post(f"{_NAMESPACE}/configmaps", json=body, headers={"Audit-ID": "large"}) as answer:
            assert answer.status == 201
    (event,) = _events(audited, auditID="large")
    assert not {"requestObject", "responseObject"} & event.keys()
    assert event["annotations"]["audit.k8s.io/truncated"] == "true"
    assert event["objectRef"]["name"] == "large"


async def test_secrets_stay_secret(audited: Cluster) -> None:
    secret = base64.b64encode(b"very secret indeed").decode()
    async with audited.session() as session:
        body = {"metadata": {"name": "hidden"}, "data": {"password": secret}}
        async with session.post(f"{_NAMESPACE}/secrets", json=body) as answer:
            assert answer.status == 201
        patch = {"stringData": {"other": "very secret indeed"}}
        headers = {"Content-Type": "application/merge-patch+json"}
        async with session.patch(f"{_NAMESPACE}/secrets/hidden", json=patch, headers=headers) as answer:
            assert answer.status == 200
        async with session.get(f"{_NAMESPACE}/secrets/hidden") as answer:
            assert secret in await answer.text()
    assert [each["verb"] for each in _events(audited) if (each.get("objectRef") or {}).get("name") == "hidden"] == [
        "create", "patch", "get",
    ]  # fmt: skip
    text = (audited.folder / "audit.log").read_text(encoding="utf-8")
    assert secret not in text
    assert "very secret indeed" not in text


async def test_no_road_is_too_short_to_be_seen(audited: Cluster) -> None:
    async with audited.session() as session:
        for number in range(3):
            async with session.get(f"{_NAMESPACE}/configmaps/shown", headers={"Audit-ID": f"again-{number}"}) as answer:
                assert answer.status == 200
    assert [len(_events(audited, auditID=f"again-{number}")) for number in range(3)] == [1, 1, 1]


async def test_refusals_and_strangers_are_recorded(audited: Cluster) -> None:
    async with audited.session("eve", ["people"]) as eve:
        async with eve.get(f"{_NAMESPACE}/secrets/hidden", headers={"Audit-ID": "refused"}) as answer:
            assert answer.status == 403
        headers = {"Authorization": "Bearer nonsense", "Audit-ID": "stranger"}
        async with audited.session("") as nobody, nobody.get(_NAMESPACE, headers=headers) as answer:
            assert answer.status == 401
    (refused,) = _events(audited, auditID="refused")
    assert refused["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert refused["responseStatus"]["reason"] == "Forbidden"
    assert (refused["responseStatus"]["code"], refused["responseStatus"]["status"]) == (403, "Failure")
    first, last = _events(audited, auditID="stranger")
    assert (first["stage"], first["user"], last["responseStatus"]["code"]) == ("RequestReceived", {}, 401)
    assert "nonsense" not in json.dumps([first, last])


async def test_who_acts_as_another_is_shown_with_both_names(audited: Cluster) -> None:
    headers = {"Impersonate-User": "alice", "Impersonate-Group": "people", "Audit-ID": "as-alice"}
    async with audited.session() as session, session.get("/version", headers=headers) as answer:
        assert answer.status == 200
    event = _events(audited, auditID="as-alice")[-1]
    assert event["user"]["username"] == "admin"
    assert event["impersonatedUser"] == {"username": "alice", "groups": ["people", "system:authenticated"]}


async def test_watches_have_a_beginning_and_an_end(audited: Cluster) -> None:
    async with audited.session() as session:
        query, headers = {"watch": "true", "timeoutSeconds": "1"}, {"Audit-ID": "watching"}
        async with session.get("/api/v1/namespaces", params=query, headers=headers) as answer:
            await answer.read()
            assert answer.headers["Audit-Id"] == "watching"
        # One connection's requests are answered one after another: the watch is over in every respect then.
        async with session.get("/version") as answer:
            assert answer.status == 200
    events = _events(audited, auditID="watching")
    stages = [(each["stage"], (each.get("responseStatus") or {}).get("code")) for each in events]
    assert stages == [("RequestReceived", None), ("ResponseStarted", 200), ("ResponseComplete", 200)]


async def test_what_the_policy_leaves_out_is_left_out(audited: Cluster) -> None:
    async with audited.session() as session, session.get("/readyz", headers={"Audit-ID": "probe"}) as answer:
        assert answer.status == 200
    assert _events(audited, auditID="probe") == []
    assert not [each for each in _events(audited) if each["user"].get("username") == "system:apiserver"]


async def test_events_reach_a_webhook_in_batches_and_after_a_failure(tmp_path: Path) -> None:
    lists: list[dict[str, Any]] = []
    attempts = 0
    arrived = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            return web.Response(status=500)
        lists.append(await request.json())
        if any(each["auditID"] == "last" for each in lists[-1]["items"]):
            arrived.set()
        return web.Response()

    application = web.Application(client_max_size=1 << 26)
    application.router.add_post("/take", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{port}/take"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {}}],
        }  # fmt: skip
        (tmp_path / "webhook.conf").write_text(yaml.safe_dump(config), encoding="utf-8")
        flags = [
            _policy(tmp_path), f"--audit-webhook-config-file={tmp_path}/webhook.conf",
            "--audit-webhook-batch-max-wait=200ms", "--audit-webhook-initial-backoff=10ms",
        ]  # fmt: skip
        cluster = Cluster(tmp_path / "cluster", flags)
        await asyncio.to_thread(cluster.__enter__)
        try:
            async with cluster.session() as session, session.get("/version", headers={"Audit-ID": "last"}):
                async with asyncio.timeout(20):
                    await arrived.wait()
        finally:
            await asyncio.to_thread(cluster.__exit__, None, None, None)
    finally:
        await runner.cleanup()
    assert attempts > 1
    assert {each["kind"] for each in lists} == {"EventList"}


async def test_a_log_that_can_not_be_written_refuses_strictly(tmp_path: Path) -> None:
    full = Path("/dev/full")
    flags = [_policy(tmp_path), f"--audit-log-path={full}", "--audit-log-mode=blocking-strict"]
    with Cluster(tmp_path / "cluster", flags) as cluster:
        async with cluster.session() as session, session.get("/version") as answer:
            assert answer.status == 500
            assert (await answer.json())["message"].endswith("failed to store audit event")


async def test_a_request_that_repeats_another_is_recorded_too(audited: Cluster) -> None:
    """Such GETs have a shorter road where there is no audit log (quick_reads)."""
    async with audited.session() as session:
        async with session.post(f"{_NAMESPACE}/configmaps", json={"metadata": {"name": "repeated"}}) as answer:
            assert answer.status == 201
        identities = set()
        for _ in range(3):
            async with session.get(f"{_NAMESPACE}/configmaps/repeated") as answer:
                assert answer.status == 200
                identities.add(answer.headers.get("Audit-Id"))
                await answer.read()
    told = _events(audited, verb="get", requestURI=f"{_NAMESPACE}/configmaps/repeated")
    assert identities == {each["auditID"] for each in told}
    assert len(identities) == 3
