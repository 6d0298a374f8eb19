"""What the log of a real server says of requests that took half a second or more: what they waited for."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.webhook_servers import WebhookServer

pytestmark = pytest.mark.lab

# Longer than what is slow.
_SECONDS = 1.5


@pytest.fixture
async def session(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with cluster.session() as found:
        yield found


def _is_stopped(pid: int) -> bool:
    """Whether every thread of a process that was sent SIGSTOP has come to a stop (proc_pid_stat(5))."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


async def _trace(cluster: Cluster, mark: str) -> str:
    """The lines of the one trace whose first line has `mark`."""

    async def found() -> list[str]:
        # With its last line: it is there as a whole.
        whole = rf"Trace\[(\d+)\]: .*{re.escape(mark)}(?s:.*?)Trace\[\1\]: .*END$"
        return re.findall(whole, cluster.log, re.MULTILINE)

    (number,) = await waits.until(found, mark)
    return "\n".join(line for line in cluster.log.splitlines() if f"Trace[{number}]:" in line)


async def test_a_slow_webhook_is_named(
    cluster: Cluster, session: aiohttp.ClientSession, namespace: str, tmp_path: Path
) -> None:
    async with WebhookServer(tmp_path) as webhook:

        async def slow(request: web.BaseRequest) -> web.Response:
            review = await request.json()
            await webhook.release.wait()
            response = {"uid": review["request"]["uid"], "allowed": True}
            return web.json_response({**review, "response": response})

        webhook.raw["/slow"] = slow
        hook = {
            "name": "slow.example.com", "clientConfig": webhook.config("/slow"), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"], "operations": ["CREATE"]},
            ],
        }  # fmt: skip
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        async with session.post(path, json={"metadata": {"name": "slow"}, "webhooks": [hook]}) as answer:
            assert answer.status == 201, await answer.text()
        async with session.get(path) as answer:
            await answer.read()
        try:
            url = f"/api/v1/namespaces/{namespace}/configmaps?fieldManager=slow"
            headers = {"Audit-ID": "who-was-it"}

            async def create() -> None:
                async with session.post(url, json={"metadata": {"name": "slow"}}, headers=headers) as answer:
                    assert answer.status == 201, await answer.text()

            creating = asyncio.create_task(create())
            await asyncio.wait([creating], timeout=_SECONDS)
            assert not creating.done()
            webhook.release.set()
            await creating
        finally:
            async with session.delete(f"{path}/slow") as answer:
                assert answer.status == 200
    told = await _trace(cluster, f"url:{url}")
    assert '"Create" ' in told
    assert "audit-id:who-was-it," in told
    assert "verb:CREATE,code:201" in told
    assert re.search(r'---"Webhook slow.example.com answered" \d{3,}ms', told)
    assert "authorization" not in told


async def test_a_process_that_stood_still_is_told_of(cluster: Cluster, session: aiohttp.ClientSession) -> None:
    os.kill(cluster.pid, signal.SIGSTOP)
    try:
        waits.blocked_until(lambda: _is_stopped(cluster.pid), "the server stands still")
        waiting = asyncio.create_task(session.get("/version?mark=still"))
        await asyncio.wait([waiting], timeout=_SECONDS)
        assert not waiting.done()
    finally:
        os.kill(cluster.pid, signal.SIGCONT)
    (await waiting).release()

    async def told() -> bool:
        return re.search(r"the event loop stood still for \d{4,} ms", cluster.log) is not None

    await waits.until(told)


async def test_a_store_that_hangs_is_told_of(cluster: Cluster, session: aiohttp.ClientSession) -> None:
    # The second such GET takes the short road (quick_reads).
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"

    async def get(more: str) -> None:
        async with session.get(f"{path}{more}") as answer:
            assert answer.status == 200

    await get("")
    await get("")
    os.kill(cluster.etcd.pid, signal.SIGSTOP)
    try:
        waits.blocked_until(lambda: _is_stopped(cluster.etcd.pid), "etcd stands still")
        waiting = asyncio.gather(get(""), get("?pretty=false"))
        await asyncio.wait([waiting], timeout=_SECONDS)
        assert not waiting.done()
    finally:
        os.kill(cluster.etcd.pid, signal.SIGCONT)
    await waiting
    told = await _trace(cluster, f"url:{path},")
    assert re.search(r'---"watchCache fresh enough" \d{3,}ms', told)
    told = await _trace(cluster, f"url:{path}?pretty=false,")
    assert re.search(r'---"Object read from cache" \d{3,}ms', told)
