"""Watches when servers and watchers misbehave: nothing is missed, told twice or out of order, and one is not all."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.followers import Told, following, namespace_of, written

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), ["--etcd-compaction-interval=0"]) as found:
        yield found


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(kubeconfigs.load(str(cluster.folder / "admin.conf")), user_agent="suite") as found:
        yield found


async def test_across_a_restart_nothing_is_missed_repeated_or_reordered(cluster: Cluster, client: Client) -> None:
    namespace = await namespace_of(client, "restarts")
    history: list[Told] = []
    async with following(client, namespace) as follower:
        for each in range(20):
            history += await written(client, namespace, f"before-{each}")
        cluster.stop_server(signal.SIGKILL)
        await asyncio.to_thread(cluster.start_server)
        for each in range(20):
            history += await written(client, namespace, f"after-{each}")
        await follower.until(lambda: follower.last == history[-1].revision)
    follower.judge(history)


async def deaf(cluster: Cluster, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that asks for a watch and reads no further than its beginning."""
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    certificate, key = cluster.authority.issue("deaf", ["system:masters"])
    context.load_cert_chain(cluster.write("deaf.crt", certificate), cluster.write("deaf.key", key))
    reader, writer = await asyncio.open_connection(
        cluster.address, cluster.port, ssl=context, server_hostname="localhost", limit=4096
    )
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_watcher_that_never_reads_is_dropped(cluster: Cluster, client: Client) -> None:
    namespace = await namespace_of(client, "deaf")
    metadata = {"name": "large", "namespace": namespace}
    await client.create("configmaps", {"metadata": metadata})
    connections = [await deaf(cluster, f"/api/v1/namespaces/{namespace}/configmaps?watch=1") for _ in range(3)]
    size, count = 900_000, 60
    slowest = 0.0
    async with following(client, namespace) as follower:
        for number in range(count):
            change = {"data": {"k": f"{number}" + "x" * size}}
            changed = await client.patch("configmaps", "large", change, namespace=namespace)
            version, moment = int(changed["metadata"]["resourceVersion"]), time.monotonic()
            await follower.until(lambda version=version: follower.last == version)  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - moment)
    # Nobody else had to wait for them.
    assert slowest < 5.0
    for reader, writer in connections:
        taken = 0
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while data := await reader.read(1 << 20):
                    taken += len(data)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        # The connection is at its end, and what was kept for it is bounded: 16 MiB and what the kernel holds.
        assert taken < size * count / 2


_READS = 200


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    return sorted(values)[int(len(values) * share)]


@pytest.mark.nightly
async def test_a_thousand_watchers_come_back_at_once(cluster: Cluster, client: Client) -> None:
    """Within a minute all are back, and reads are as fast as they have to be."""
    namespace = await namespace_of(client, "crowd")
    await written(client, namespace, "first")
    crowd = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.crowds", str(cluster.folder / "admin.conf"), namespace, "1000"),
        stdout=subprocess.PIPE,
    )
    assert crowd.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await crowd.stdout.readline() == b"all\n"
        cluster.stop_server(signal.SIGKILL)
        await asyncio.to_thread(cluster.start_server)
        began = time.monotonic()
        back = asyncio.create_task(crowd.stdout.readline())
        seconds: list[float] = []
        while not back.done() or len(seconds) < _READS or percentile(seconds[-_READS:], 0.99) > 1.0:
            assert time.monotonic() - began < 60, seconds
            moment = time.monotonic()
            await client.get("configmaps", "first", namespace=namespace)
            seconds.append(time.monotonic() - moment)
            await asyncio.sleep(0.02)
        assert await back == b"all\n"
    finally:
        crowd.kill()
        await crowd.wait()
