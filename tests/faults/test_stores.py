"""What etcd can suffer, and what clients of the API servers on it may see of that.

Every history is judged by the checker, across all servers: nothing acknowledged is lost, nothing that was refused is
done, no read shows the past.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.control_planes import ControlPlane
from tests.faults.traffic import Traffic

pytestmark = pytest.mark.lab

# From the moment that etcd has a leader again.
_RESUME_SECONDS = 5.0


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as found:
        yield found


async def test_two_servers_are_as_one(plane: ControlPlane) -> None:
    async with Traffic(plane.servers, "one") as traffic:
        await traffic.settle(3)
    traffic.judge()
    assert {call.status for call in traffic.calls} == {200, 201, 404, 409}


async def test_the_leader_is_killed(plane: ControlPlane) -> None:
    async with Traffic(plane.servers, "leader") as traffic:
        await traffic.settle(1)
        leader = plane.leader()
        plane.kill(leader)
        plane.leader()
        assert await traffic.until_written(time.monotonic()) < _RESUME_SECONDS
        plane.launch(leader)
        await traffic.settle(1)
    traffic.judge()
