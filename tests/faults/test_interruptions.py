"""`make up` interrupted in each of its phases, by each of the ways to interrupt it: the next one goes on and completes.

A run that was cut gets as far as the next phase when it is begun again, so one stack serves all phases in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import clusters
from tests.clusters import Cluster, Stack
from tests.faults.interruptions import Cut, cut_up

STACK = "cut"
_FIRST = f"{STACK}-cp-1"


def _converges(*roles: str) -> dict[str, str]:
    return {f"role {role}": rf"{_FIRST}: {role} : " for role in roles}


# A line of Pulumi's that tells of each phase.
PHASES = {
    "pki": r"CertificateAuthority .* creating",
    "hosts": r"MachineContainer .* boots",
    **_converges("base", "etcd", "kube_apiserver"),
    # They wait for the API from the start, and are made while the other roles converge.
    "add-ons": r"ClusterObjects dns creat",
    **_converges("kube_scheduler", "kube_controller_manager", "containerd", "kubelet", "kube_proxy", "pod_network"),
    "verification": r"Verification .* checks the hosts",
}


@pytest.fixture
def stack(clone: Path) -> Iterator[Stack]:
    """A stack like `dev` that is not up yet."""
    settings = clone / "stacks" / f"Pulumi.{STACK}.yaml"
    settings.write_text((clone / "stacks" / "Pulumi.dev.yaml").read_text())
    stack = Stack(clone, STACK)
    yield stack
    stack.make("destroy")
    settings.unlink()


@pytest.mark.nightly
@pytest.mark.parametrize("turn", range(len(Cut)))
def test_up_completes_after_it_was_cut_in_every_phase(stack: Stack, turn: int) -> None:
    ways = list(Cut)
    for index, moment in enumerate(PHASES.values()):
        # Over all turns each phase is cut in each way.
        cut_up(stack, moment, ways[(index + turn) % len(ways)])
    stack.make("up")

    cluster = clusters.connect(stack)
    cluster.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
    again = stack.pulumi("preview", "--refresh", "--expect-no-changes", "--non-interactive")
    assert again.status == 0, again.told


@pytest.mark.nightly
@pytest.mark.parametrize("cut", Cut)
def test_destroy_completes_after_up_was_cut(stack: Stack, cut: Cut) -> None:
    cut_up(stack, PHASES["role base"], cut)
    # Hosts can be looked at when they are needed most.
    assert _FIRST in stack.make("hosts")
    assert stack.make("ssh", f"HOST={_FIRST}", "CMD=hostname") == f"{_FIRST}\n"
    stack.make("destroy")
    assert not stack.directory.exists()


@pytest.mark.lab
def test_destroy_takes_hosts_whose_making_was_killed(stack: Stack) -> None:
    cut_up(stack, PHASES["hosts"], Cut.ENGINE_KILLED)
    stack.make("destroy")
    assert not stack.directory.exists()


@pytest.mark.lab
def test_a_repair_that_was_killed_is_completed(cluster: Cluster) -> None:
    host, file = cluster.hosts[-1].name, "/var/lib/kube-proxy/config.conf"
    original = cluster.on(host, f"sha256sum {file}")
    cluster.on(host, f"echo '# by hand' >>{file}")
    cut_up(cluster.stack, rf"{host}: kube_proxy : ", Cut.ENGINE_KILLED)
    ended = cluster.stack.try_make("up")
    assert ended.status == 0, ended.told
    assert "was killed" in ended.stderr
    assert cluster.on(host, f"sha256sum {file}") == original
    assert cluster.on(host, "systemctl is-active kube-proxy.service") == "active\n"
