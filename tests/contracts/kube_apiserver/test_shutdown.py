"""How a real server leaves (not ready first, nobody cut off, watches ended), and how long requests may take."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab


async def test_a_server_leaves_without_cutting_anybody_off(tmp_path: Path) -> None:
    flags = ["--shutdown-delay-duration=3s", "--shutdown-send-retry-after"]
    with Cluster(tmp_path / "cluster", flags) as cluster:
        async with cluster.session() as early, cluster.session() as held, cluster.session("nobody", []) as late:
            namespaces = "/api/v1/namespaces"
            lease = "/registry/masterleases/192.0.2.1"
            assert await cluster.stored(lease)
            watch = await early.get(namespaces, params={"watch": "true"}, timeout=aiohttp.ClientTimeout(60))
            os.kill(cluster.pid, signal.SIGTERM)

            async def answers(path: str, status: int) -> bool:
                async with late.get(path) as answer:
                    return answer.status == status

            # Load balancers see it leave while it still serves.
            await waits.until(lambda: answers("/readyz", 500))
            assert await answers("/livez", 200)
            assert await answers("/version", 200)

            async def withdrawn() -> bool:
                return not await cluster.stored(lease)

            await waits.until(withdrawn)
            # A request that is under way when the delay is over: its store takes its time.
            os.kill(cluster.etcd.pid, signal.SIGSTOP)
            try:
                slow = asyncio.create_task(held.get(f"{namespaces}/default"))
                await waits.until(lambda: answers("/version", 429))
                async with late.get("/version") as answer:
                    assert (answer.headers["Retry-After"], answer.headers["Connection"]) == ("5", "close")
                assert not slow.done()
            finally:
                os.kill(cluster.etcd.pid, signal.SIGCONT)
            assert (await slow).status == 200
            # The watch's last chunk came: its client knows that it is over.
            assert b"ADDED" in await watch.read()
            assert await asyncio.to_thread(cluster.wait_end) == 0


async def test_a_store_that_hangs_does_not_keep_a_server_from_leaving(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        os.kill(cluster.etcd.pid, signal.SIGSTOP)
        try:
            os.kill(cluster.pid, signal.SIGTERM)
            assert await asyncio.to_thread(cluster.wait_end) == 0
        finally:
            os.kill(cluster.etcd.pid, signal.SIGCONT)


async def test_requests_end_when_their_time_is_up(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", ["--request-timeout=1s"]) as cluster:
        async with cluster.session() as session:
            path = "/api/v1/namespaces/default"
            async with session.get(path, params={"timeout": "soon"}) as answer:
                assert answer.status == 400
                assert "invalid timeout specified in the request URL" in (await answer.json())["message"]
            os.kill(cluster.etcd.pid, signal.SIGSTOP)
            try:
                loop = asyncio.get_running_loop()
                for query, least, most in (
                    ({}, 0.9, 3),
                    ({"timeout": "200ms"}, 0.19, 0.9),
                    ({"timeout": "1h"}, 0.9, 3),
                ):
                    began = loop.time()
                    async with session.get(path, params=query) as answer:
                        status = await answer.json()
                    assert (answer.status, status["reason"]) == (504, "Timeout")
                    assert status["message"].endswith("request did not complete within the allotted timeout")
                    assert least < loop.time() - began < most
            finally:
                os.kill(cluster.etcd.pid, signal.SIGCONT)
