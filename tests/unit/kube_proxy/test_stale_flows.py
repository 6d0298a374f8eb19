"""Which UDP flows must end when endpoints change."""

from dataclasses import replace

from keelson.kube_proxy.decisions import stale_flows
from keelson.kube_proxy.decisions.service_ports import NodeView, ServicePort
from keelson.kube_proxy.decisions.stale_flows import Flow

NODE = NodeView(name="n1", addresses=("10.9.0.1",))
DNS = ServicePort(
    namespace="kube-system",
    name="dns",
    port_name="dns",
    protocol="udp",
    family="ip",
    cluster_ip="10.7.0.10",
    port=53,
    node_port=30053,
    external_ips=("10.6.0.1",),
    load_balancer_ips=(),
    source_ranges=(),
    affinity_seconds=0,
    internal_local=False,
    external_local=False,
    cluster_endpoints=(("10.8.0.2", 5353),),
    local_endpoints=(),
    known=True,
)


def _flow(address: str, port: int, answers: str) -> Flow:
    return Flow((address, port), (answers, 5353), b"")


def test_only_flows_to_other_endpoints_end() -> None:
    good = [_flow("10.7.0.10", 53, "10.8.0.2"), _flow("10.6.0.1", 53, "10.8.0.2"), _flow("1.1.1.1", 53, "1.1.1.1")]
    bad = [
        _flow("10.7.0.10", 53, "10.8.0.9"),
        _flow("10.9.0.1", 30053, "10.8.0.9"),
        # Sent before the Service had rules, hence to the address itself.
        Flow(("10.7.0.10", 53), ("10.7.0.10", 53), b""),
    ]
    assert stale_flows.stale([*good, *bad], [DNS], NODE) == bad


def test_tcp_is_left_alone() -> None:
    tcp = replace(DNS, protocol="tcp")
    assert stale_flows.stale([_flow("10.7.0.10", 53, "10.8.0.9")], [tcp], NODE) == []
    assert stale_flows.signature([tcp]) == {}


def test_signature_changes_with_endpoints() -> None:
    assert stale_flows.signature([DNS]) == stale_flows.signature([replace(DNS, affinity_seconds=9)])
    assert stale_flows.signature([DNS]) != stale_flows.signature([replace(DNS, cluster_endpoints=())])
