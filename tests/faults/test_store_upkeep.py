"""What operators do to etcd, or find done to it: a full quota, a snapshot restored under a running API server."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keelson.api.errors import StatusError
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.storage.etcd_members import Member
from tests.faults.followers import following, namespace_of, written

pytestmark = pytest.mark.lab

_QUOTA = 12 << 20


@asynccontextmanager
async def client_of(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(kubeconfigs.load(str(cluster.folder / "admin.conf")), user_agent="suite") as found:
        yield found


async def post(client: Client, namespace: str, name: str, data: str = "") -> None:
    """Create a ConfigMap, once: an answer that asks for patience is an answer here."""
    body = json.dumps({"metadata": {"name": name}, "data": {"k": data}}).encode()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with client.stream("POST", path, body=body, headers={"Content-Type": "application/json"}) as answer:
        await answer.read()


async def fill(client: Client, namespace: str, stored: list[str]) -> None:
    """Create large objects until one is refused."""
    for number in range(100):
        await post(client, namespace, f"large-{number}", "x" * 500_000)
        stored.append(f"large-{number}")


async def test_a_full_disk_refuses_writes_and_says_why(tmp_path: Path) -> None:
    member = Member(tmp_path / "etcd", [f"--quota-backend-bytes={_QUOTA}"])
    with Cluster(tmp_path, ["--etcd-compaction-interval=0"], etcd=member) as cluster:
        async with client_of(cluster) as client:
            namespace = await namespace_of(client, "full")
            stored: list[str] = []
            with pytest.raises(StatusError) as refused:
                await fill(client, namespace, stored)
            # No promise that nothing was done: etcd keeps the write that overflows, though it refuses it.
            assert refused.value.code == 500
            assert "database space exceeded" in refused.value.message

            # Reads work.
            assert (await client.get("configmaps", "large-0", namespace=namespace))["data"]["k"] == "x" * 500_000
            listed = await client.list("configmaps", namespace=namespace)
            names = {each["metadata"]["name"] for each in listed["items"]}
            assert set(stored) <= names <= {*stored, f"large-{len(stored)}"}
            began = time.monotonic()
            with pytest.raises(StatusError, match="database space exceeded"):
                await post(client, namespace, "small")
            assert time.monotonic() - began < 5.0
            assert len((await client.list("configmaps", namespace=namespace))["items"]) == len(names)

            # What takes no room is done: so an operator can make some.
            await client.delete_collection("configmaps", namespace=namespace)
            revision = (await client.list("configmaps", namespace=namespace))["metadata"]["resourceVersion"]
            member.control("compact", revision)
            member.control("defrag")
            member.control("alarm", "disarm")
            await post(client, namespace, "small")
            assert (await client.get("configmaps", "small", namespace=namespace))["data"] == {"k": ""}


def restore(member: Member, snapshot: Path) -> None:
    """Put a member, which is down, back to a snapshot."""
    shutil.rmtree(member.data)
    name = f"--initial-cluster={member.name}={member.peer}"
    peers = f"--initial-advertise-peer-urls={member.peer}"
    command = ["etcdctl", "snapshot", "restore", str(snapshot), f"--name={member.name}", name, peers]
    subprocess.run([*command, f"--data-dir={member.data}"], check=True, capture_output=True, timeout=30)


@pytest.mark.nightly
async def test_a_restored_snapshot_is_noticed(tmp_path: Path) -> None:
    """The API server lives on while etcd goes back in time; nobody is told that nothing happened."""
    with Cluster(tmp_path) as cluster:
        async with client_of(cluster) as client:
            namespace = await namespace_of(client, "restored")
            history = await written(client, namespace, "kept")
            async with following(client, namespace) as follower:
                cluster.etcd.control("snapshot", "save", str(tmp_path / "snapshot.db"))
                lost = await written(client, namespace, "lost")
                await follower.until(lambda: follower.last == lost[-1].revision)
                assert follower.segments[0].told == lost

                cluster.etcd.stop()
                restore(cluster.etcd, tmp_path / "snapshot.db")
                await asyncio.to_thread(cluster.etcd.start)
                await follower.until(lambda: follower.lists == 2)
                assert follower.segments[1].objects == {"kept": history[-1].revision}
                with pytest.raises(StatusError) as missing:
                    await client.get("configmaps", "lost", namespace=namespace)
                assert missing.value.code == 404
                # Whoever still has a revision of the past that is no more hears that it is none.
                newest = str(lost[-1].revision + 1000)
                with pytest.raises(StatusError, match="Too large resource version") as future:
                    await client.list("configmaps", namespace=namespace, resource_version=newest)
                assert future.value.code == 504

                again = await written(client, namespace, "new")
                await follower.until(lambda: follower.last == again[-1].revision)
                follower.segments[1].judge([*history, *again], complete=True)
