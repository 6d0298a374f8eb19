"""What etcd can suffer, and what clients of the API servers on it may see of that.

Every history is judged by the checker, across all servers: nothing acknowledged is lost, nothing that was refused is
done, no read shows the past.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from keelson.api.errors import StatusError
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.storage.etcd_members import Member
from tests.faults.control_planes import ControlPlane
from tests.faults.followers import following, namespace_of, written
from tests.faults.traffic import Traffic

pytestmark = pytest.mark.lab

# From the moment that etcd has a leader again.
_RESUME_SECONDS = 5.0
# No request waits longer for a store that does not answer.
_ANSWER_SECONDS = 12.0
# How long a connection may go on that was cut, or a leader that has lost its followers.
_STALE_SECONDS = 1.5


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as found:
        yield found


async def test_two_servers_are_as_one(plane: ControlPlane) -> None:
    async with Traffic(plane.servers, "one") as traffic:
        await traffic.settle(3)
    traffic.judge()
    assert {call.status for call in traffic.calls} == {200, 201, 404, 409}


async def test_a_server_is_killed_under_writes(plane: ControlPlane) -> None:
    async with Traffic(plane.servers, "killed") as traffic:
        for server in plane.servers:
            await traffic.settle(0.5)
            plane.kill(server)
            await traffic.settle(0.2)
            plane.launch(server)
            await asyncio.to_thread(server.wait_server)
    traffic.judge()


async def resumed(plane: ControlPlane, traffic: Traffic, leader: Member, within: float = _RESUME_SECONDS) -> None:
    """Writes go on through every server soon after there is another leader."""
    while await asyncio.to_thread(plane.leader) is leader:
        # It is believed until its time is up.
        await traffic.settle(0.05)
    elected = time.monotonic()
    for server in plane.servers:
        assert await traffic.until_written(elected, server) < within
        assert await traffic.until_read(elected, server) < within


async def test_the_leader_is_killed(plane: ControlPlane) -> None:
    async with Traffic(plane.servers, "leader") as traffic:
        await traffic.settle(0.5)
        leader = plane.leader()
        plane.kill(leader)
        try:
            await resumed(plane, traffic, leader)
        finally:
            plane.launch(leader)
    traffic.judge()


@pytest.mark.nightly
async def test_the_leader_hangs(plane: ControlPlane) -> None:
    async with Traffic(plane.servers, "hangs") as traffic:
        await traffic.settle(0.5)
        leader = plane.leader()
        with plane.stopped(leader):
            # What was sent to it is waited for, and its sender with it.
            await resumed(plane, traffic, leader, _ANSWER_SECONDS)
            await traffic.settle(2)
        # It comes back and believes for a moment that it still leads.
        await traffic.settle(2)
    traffic.judge()


async def refused(traffic: Traffic, since: float, server: Cluster) -> None:
    """Nothing is done, everything is answered in bounded time, and the answer says what is wrong."""
    # What was under way when it began may have failed at once; this is about what was asked for afterwards.
    await traffic.until_failed(since + _STALE_SECONDS, server)
    assert [call for call in traffic.served(since, server) if call.called > since + _STALE_SECONDS] == []
    failed = traffic.failed(since, server)
    assert {call.status for call in failed} <= {503, 504}
    assert max(call.seconds for call in failed) < _ANSWER_SECONDS
    assert all("etcd" in call.message or "store" in call.message for call in failed), failed


async def test_quorum_is_lost(plane: ControlPlane) -> None:
    async with Traffic(plane.servers, "quorum") as traffic:
        await traffic.settle(0.5)
        lost = plane.members[1:]
        for member in lost:
            plane.kill(member)
        moment = time.monotonic()
        for server in plane.servers:
            await refused(traffic, moment, server)
        plane.launch(lost[0])
        await asyncio.to_thread(lost[0].wait)
        healthy = time.monotonic()
        for server in plane.servers:
            assert await traffic.until_written(healthy, server) < _RESUME_SECONDS
            assert await traffic.until_read(healthy, server) < _RESUME_SECONDS
        plane.launch(lost[1])
        await asyncio.to_thread(lost[1].wait)
    traffic.judge()


async def test_a_server_is_cut_off_from_etcd(plane: ControlPlane) -> None:
    one, other = plane.servers
    async with Traffic(plane.servers, "cut") as traffic:
        await traffic.settle(0.5)
        plane.cut(other, *plane.members)
        try:
            moment = time.monotonic()
            await refused(traffic, moment, other)
            await traffic.until_served(moment, one, 100)
            assert traffic.failed(moment, one) == []
        finally:
            plane.heal()
        healed = time.monotonic()
        assert await traffic.until_written(healed, other) < _RESUME_SECONDS
        assert await traffic.until_read(healed, other) < _RESUME_SECONDS
    traffic.judge()


@pytest.mark.nightly
async def test_a_follower_is_cut_off_behind_one_server(tmp_path: Path) -> None:
    """Its server must not show what the follower still has, and its caches' revision never goes back."""
    with ControlPlane(tmp_path, paired=True) as plane:
        leader = plane.leader()
        one, other = plane.servers
        if plane.members[1] is leader:
            one, other = other, one
        follower = plane.members[plane.servers.index(other)]
        async with Traffic(plane.servers, "follower") as traffic:
            await traffic.settle(0.5)
            before = await traffic.cached_revision(other)
            plane.isolate(follower)
            moment = time.monotonic()
            revisions = [before]
            while not traffic.failed(moment + _STALE_SECONDS, other):
                assert time.monotonic() < moment + 2 * _ANSWER_SECONDS
                await traffic.settle(0.5)
                revisions.append(await traffic.cached_revision(other))
            assert revisions == sorted(revisions)
            await refused(traffic, moment, other)
            await traffic.until_served(moment, one, 100)
            plane.heal()
            healed = time.monotonic()
            assert await traffic.until_written(healed, other) < _RESUME_SECONDS
            assert await traffic.until_read(healed, other) < _RESUME_SECONDS
            assert await traffic.cached_revision(other) > before
        traffic.judge()


async def test_history_is_compacted_while_a_server_is_cut_off(plane: ControlPlane) -> None:
    """Its watchers are told that they missed something (410), and a list shows them what is."""
    one, other = plane.servers
    async with AsyncExitStack() as stack:
        writer, reader = [
            await stack.enter_async_context(
                Client(kubeconfigs.load(str(server.folder / "admin.conf")), user_agent="suite")
            )
            for server in (one, other)
        ]
        namespace = await namespace_of(writer, "compacted")
        history = await written(writer, namespace, "first")
        async with following(reader, namespace) as follower:
            history += await written(writer, namespace, "seen")
            await follower.until(lambda: follower.last == history[-1].revision)
            plane.refuse(other, *plane.members)
            try:
                with pytest.raises(StatusError):
                    # The connection that is used is the one that ends.
                    async with reader.stream("GET", f"/api/v1/namespaces/{namespace}/configmaps/first"):
                        pass
                history += await written(writer, namespace, "unseen")
                plane.members[0].control("compact", str(history[-1].revision))
            finally:
                plane.heal()
            await follower.until(lambda: follower.lists == 2)
            history += await written(writer, namespace, "seen-again")
            await follower.until(lambda: follower.last == history[-1].revision)
        follower.judge(history)


async def _break_something(plane: ControlPlane, traffic: Traffic, chance: random.Random) -> None:
    """One fault, drawn by lot, for a moment; everything is well again when this returns."""
    member, server = chance.choice(plane.members), chance.choice(plane.servers)
    seconds = chance.uniform(0.5, 3.0)
    match chance.choice(
        ["kill member", "kill server", "stop member", "stop server", "cut server", "isolate", "refuse"]
    ):
        case "kill member":
            plane.kill(member)
            await traffic.settle(seconds)
            plane.launch(member)
            await asyncio.to_thread(member.wait)
        case "kill server":
            plane.kill(server)
            await traffic.settle(seconds)
            plane.launch(server)
            await asyncio.to_thread(server.wait_server)
        case "stop member":
            with plane.stopped(member):
                await traffic.settle(seconds)
        case "stop server":
            with plane.stopped(server):
                await traffic.settle(seconds)
        case "cut server":
            plane.cut(server, *chance.sample(plane.members, chance.randint(1, 3)))
            await traffic.settle(seconds)
        case "isolate":
            plane.isolate(member)
            await traffic.settle(seconds)
        case _:
            plane.refuse(server, member)
            await traffic.settle(seconds)
    plane.heal()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
async def test_a_minute_of_faults(plane: ControlPlane, seed: int) -> None:
    chance = random.Random(seed)
    async with Traffic(plane.servers, f"minute-{seed}", seed=seed, pause=0.01) as traffic:
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            await _break_something(plane, traffic, chance)
            await traffic.settle(chance.uniform(0.5, 2.0))
        healed = time.monotonic()
        for server in plane.servers:
            assert await traffic.until_written(healed, server) < _ANSWER_SECONDS
    assert {call.status for call in traffic.calls} <= {0, 200, 201, 404, 409, 500, 503, 504}
    traffic.judge()
