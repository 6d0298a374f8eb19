"""Each kubectl says the same on our server as on upstream's: a table of some three hundred command lines.

The table needs no pod that runs and no controller, so that all that is said comes from kubectl and the server alone.
"""

from __future__ import annotations

import concurrent.futures
import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.setup import kubectls
from tests.compatibility.transcripts import Line, Transcript
from tests.contracts.kube_apiserver.api_servers import ROOT, Cluster

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

# What differs, and why. Nothing else may, and what does no longer is to be taken out.
KNOWN: dict[str, str] = {}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]) -> Iterator[list[Cluster]]:
    """Upstream's and ours."""
    folder = tmp_path_factory.mktemp("servers")
    with Cluster(folder / "theirs", program=upstream("kube-apiserver")) as theirs, Cluster(folder / "ours") as ours:
        yield [theirs, ours]


def _difference(theirs: Line, ours: Line) -> str:
    lines = difflib.unified_diff(str(theirs).splitlines(), str(ours).splitlines(), "upstream", "ours", lineterm="", n=2)
    return "\n".join(lines)


@pytest.mark.parametrize("minor", sorted(kubectls.RELEASES))
def test_both_servers_have_it_say_the_same(servers: list[Cluster], tmp_path: Path, minor: str) -> None:
    program = kubectls.release(ROOT, minor)
    namespace = f"table-{minor.replace('.', '-')}"

    def transcript(number: int) -> list[Line]:
        config = str(servers[number].folder / "admin.conf")
        return Transcript(program, config, namespace, tmp_path / str(number)).run()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        theirs, ours = pool.map(transcript, (0, 1))
    assert len(theirs) == len(ours) > 280
    differing = {
        line.command: _difference(line, other) for line, other in zip(theirs, ours, strict=True) if line != other
    }
    assert not {command: text for command, text in differing.items() if command not in KNOWN}
    assert set(differing) == set(KNOWN)
