"""The runtimes that the suite runs against: the one in memory, and a containerd of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keelson.kubelet.runtimes.cri import CriRuntime
from keelson.kubelet.runtimes.fakes import FakeRuntime
from keelson.kubelet.runtimes.ports import ExecResult, Runtime

from .containerd_labs import TOOLS, ContainerdLab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerdLab]:
    if missing := ContainerdLab.missing():
        pytest.skip(f"a containerd of one's own needs: {missing}")
    # A socket's path may have no more than 107 bytes (unix(7)).
    found = ContainerdLab(tmp_path_factory.mktemp("ctr"))
    try:
        found.start()
        yield found
    finally:
        found.kill()


@pytest.fixture(params=["fake", pytest.param("containerd", marks=pytest.mark.lab)])
async def runtime(request: pytest.FixtureRequest) -> AsyncIterator[Runtime]:
    if request.param == "fake":
        fake = FakeRuntime()
        fake.add_image(TOOLS)
        fake.executor = lambda _name, command: ExecResult(
            exit_code=int(command[2].removeprefix("exit ")) if command[2:] else 0
        )
        yield fake
        return
    lab: ContainerdLab = request.getfixturevalue("lab")
    async with CriRuntime(f"unix://{lab.socket}") as real:
        yield real
        for sandbox in await real.sandboxes():
            await real.remove_sandbox(sandbox.id)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "pods"
    folder.mkdir()
    return folder
