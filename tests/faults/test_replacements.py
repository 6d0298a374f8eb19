"""A cluster moves from our servers to upstream's and back, one server at a time, while its clients work."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from components.setup import kubernetes_programs
from tests.compatibility.wires import OWN, Wire, meant, snapshot
from tests.contracts.kube_apiserver.api_servers import OURS, ROOT
from tests.faults.control_planes import ControlPlane
from tests.faults.fuzzing.objects import OBJECTS
from tests.faults.traffic import CHANGING, Traffic

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

_SERVED_SHARE = 0.995


async def test_servers_are_replaced_by_upstreams_and_back(tmp_path: Path) -> None:
    """Of the calls of clients that ask another server where one fails, 99.5 % succeed; objects stay what they are."""
    theirs = (str(kubernetes_programs.build(ROOT, "kube-apiserver")),)
    with ControlPlane(tmp_path, members=1) as plane:
        plane.servers[0].kubectl("create", "-f", str(OBJECTS), "--validate=false")
        before = {key: value for key, value in snapshot(Wire(plane.servers[0])).items() if not key.startswith(OWN)}
        async with Traffic(plane.servers, "replaced", weights=CHANGING, attempts=3, pause=0.01) as traffic:
            for program in (theirs, OURS):
                for server in plane.servers:
                    await traffic.settle(1)
                    await asyncio.to_thread(server.stop_server)
                    server.program = program
                    plane.launch(server)
                    await asyncio.to_thread(server.wait_server)
                    await traffic.until_served(time.monotonic(), server, 100)
                    after = await asyncio.to_thread(lambda server=server: snapshot(Wire(server)))  # type: ignore[misc]
                    assert not {key for key, old in before.items() if meant(old) != meant(after.get(key))}
        traffic.judge()
        assert traffic.given_up <= traffic.asked * (1 - _SERVED_SHARE), (traffic.given_up, traffic.asked)
        assert {call.status for call in traffic.calls} <= {0, 200, 201, 404, 409, 429, 500, 503, 504}
