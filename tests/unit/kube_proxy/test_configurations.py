"""Flags and the configuration file: upstream's names, and refusals that name the culprit."""

from pathlib import Path

import pytest

from keelson.component_base.configurations import ConfigurationError
from keelson.kube_proxy import configurations

FILE = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection: {kubeconfig: /k}
clusterCIDR: 10.8.0.0/16
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: "[::1]:10249"
mode: nftables
nftables: {masqueradeBit: 3, minSyncPeriod: 100ms}
nodePortAddresses: []
"""


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(FILE)
    found = configurations.parse(["--config", str(path), "--hostname-override", "N1"])
    assert (found.kubeconfig, found.node_name, found.cluster_cidrs) == ("/k", "n1", ("10.8.0.0/16",))
    assert (found.healthz_address, found.metrics_address) == (("127.0.0.1", 10256), ("::1", 10249))
    assert (found.masquerade_bit, found.min_sync_period, found.sync_period) == (3, 0.1, 30.0)
    assert found.node_port_addresses is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("mode: iptables", "mode: only nftables is implemented"),
        ("clusterCIDR: 10.8.0.1/16", "clusterCIDR: 10.8.0.1/16 has host bits set"),
        ("healthzBindAddress: nowhere:1", "healthzBindAddress: 'nowhere'"),
        ("nodePortAddresses: [primary, 10.0.0.0/8]", 'nodePortAddresses: "primary" must stand alone'),
        ("nftables: {masqueradeBit: 32}", "nftables.masqueradeBit: want 0 to 31"),
        ("surprise: 1", "surprise: unknown field"),
    ],
)
def test_refusals(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "config"
    field = change.partition(":")[0]
    kept = [line for line in FILE.splitlines() if not line.startswith(f"{field}:")]
    path.write_text("\n".join([*kept, change]))
    with pytest.raises(ConfigurationError) as caught:
        configurations.parse(["--config", str(path)])
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_flags() -> None:
    found = configurations.parse(
        ["--kubeconfig=/k", "--hostname-override=n1", "--cluster-cidr=10.8.0.0/16,fd00::/48", "--masquerade-all"]
    )
    assert found.cluster_cidrs == ("10.8.0.0/16", "fd00::/48")
    assert found.masquerade_all
    with pytest.raises(ConfigurationError, match="--kubeconfig: must be given"):
        configurations.parse([])
