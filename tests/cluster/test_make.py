"""The targets of the Makefile on a real cluster: brought up twice, drifted, repaired, destroyed."""

from __future__ import annotations

import re

import pytest

from components.hosts.labs import Lab
from tests import traces
from tests.clusters import Cluster, Stack

pytestmark = pytest.mark.lab

_CHANGED = re.compile(r"^\s*(?P<count>\d+) (?P<what>created|updated|deleted|replaced|changed)", re.MULTILINE)


def changes(told: str) -> list[str]:
    """Return the counts of Pulumi's summary that tell of a change."""
    return [match.group().strip() for match in _CHANGED.finditer(told)]


def test_the_environment_points_at_the_cluster(cluster: Cluster) -> None:
    names = [host.name for host in cluster.hosts]
    assert names == sorted(names), "control-plane hosts come first"
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    ended = cluster.stack.pulumi("stack", "output", "endpoint")
    assert ended.status == 0, ended.told
    assert ended.stdout.strip() in cluster.kubeconfig.read_text()


def test_secrets_are_not_shown(cluster: Cluster) -> None:
    ended = cluster.stack.pulumi("stack", "output")
    assert ended.status == 0, ended.told
    assert "[secret]" in ended.stdout
    assert "PRIVATE KEY" not in ended.stdout


def test_a_second_up_changes_nothing_and_restarts_nothing(cluster: Cluster) -> None:
    before = cluster.service_pids()
    ended = cluster.stack.try_make("up")
    assert ended.status == 0, ended.told
    assert changes(ended.stdout) == []
    assert cluster.service_pids() == before
    quiet = cluster.stack.pulumi("preview", "--refresh", "--expect-no-changes", "--non-interactive")
    assert quiet.status == 0, quiet.told


def test_drift_is_shown_and_just_that_is_repaired(cluster: Cluster) -> None:
    first, last = cluster.control_plane[0].name, cluster.hosts[-1].name
    file, unit = "/var/lib/kube-proxy/config.conf", "kube-scheduler.service"
    original = cluster.on(last, f"sha256sum {file}")
    before = cluster.service_pids()
    cluster.on(last, f"echo '# by hand' >>{file}")
    cluster.on(first, f"systemctl stop {unit}")

    shown = cluster.stack.pulumi("preview", "--refresh", "--expect-no-changes", "--diff", "--non-interactive")
    assert shown.status != 0
    assert file in shown.told
    assert unit in shown.told

    assert cluster.stack.try_make("up").status == 0
    assert cluster.on(last, f"sha256sum {file}") == original
    after = cluster.service_pids()
    changed = {
        (host, name)
        for host, services in after.items()
        for name in services.keys() | before[host].keys()
        if services.get(name) != before[host].get(name)
    }
    assert changed == {(last, "kube-proxy.service"), (first, unit)}


def test_verification_passes_again(cluster: Cluster) -> None:
    ended = cluster.stack.try_make("verify")
    assert ended.status == 0, ended.told
    assert " checks passed" in ended.told


def test_destroy_leaves_nothing(firewall_before: list[str], destroyed: Stack) -> None:
    lab = Lab(clone=destroyed.clone, stack=destroyed.name)
    assert traces.of(lab) == []
    assert traces.firewall() == firewall_before
    ended = destroyed.try_make("kubeconfig")
    assert ended.status != 0
    assert f"run: make up ENV={destroyed.name}" in ended.stderr
