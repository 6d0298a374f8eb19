"""The rules against the kernel: real nft, real connections through a node's namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keelson.kube_proxy import conntracks
from keelson.kube_proxy.decisions import rules, rulesets, service_ports, stale_flows
from keelson.kube_proxy.decisions.rules import Options
from keelson.kube_proxy.decisions.rulesets import Ruleset
from keelson.kube_proxy.decisions.service_ports import NodeView

from .networks import Network, entered

pytestmark = pytest.mark.lab

NODE = NodeView(name="n1", addresses=("10.9.0.1",))
OPTIONS = Options(local=(("ip", "ip saddr 10.8.0.0/16"),))
VIP = "10.7.0.10"


class Table:
    """The node's table, changed by differences as the daemon changes it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.applied: Ruleset | None = None

    def serve(self, *pairs: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
        """Make the table serve these Services with their slices."""
        wanted = wanted_of(*pairs)
        commands = rulesets.difference(self.applied, wanted)
        if commands:
            self._network.execute("node", "nft", "-f", "-", text=commands)
        self.applied = wanted


def wanted_of(*pairs: tuple[dict[str, Any], list[dict[str, Any]]]) -> Ruleset:
    ports = [port for service, slices in pairs for port in service_ports.service_ports(service, slices, NODE)]
    return rulesets.compose(rules.skeleton("ip", NODE, OPTIONS), (rules.fragment(port, OPTIONS) for port in ports))


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "web", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    return {
        "metadata": {"namespace": "ns", "name": spec.pop("name", "web")},
        "spec": {"type": "ClusterIP", "clusterIP": VIP, "ports": ports, **spec},
    }


def slices(*endpoints: tuple[str, str], **conditions: bool) -> list[dict[str, Any]]:
    """One slice with (address, node) endpoints on port 8080."""
    return [
        {
            "addressType": "IPv4",
            "ports": [
                {"name": "web", "port": 8080, "protocol": "TCP"},
                {"name": "dns", "port": 8080, "protocol": "UDP"},
            ],
            "endpoints": [
                {"addresses": [address], "nodeName": node, "conditions": {"ready": True, **conditions}}
                for address, node in endpoints
            ],
        }
    ]


@pytest.fixture(name="network", scope="module")
def _network() -> Iterator[Network]:
    if not Path("/usr/sbin/nft").exists():
        pytest.fail("nft is missing: apt-get install nftables")
    with Network() as network:
        network.pod("a", 8080)
        network.pod("b", 8080)
        network.pod("c")
        yield network


@pytest.fixture(name="table")
def _table(network: Network) -> Table:
    return Table(network)


def test_cluster_ip(network: Network, table: Table) -> None:
    a, b, c = (network.pods[name] for name in "abc")
    table.serve((service(), slices((a, "n1"), (b, "n1"))))
    answers = set(network.ask("c", VIP, 80, count=20))
    assert answers == {f"a {c}", f"b {c}"}, "pods see each other's own addresses"
    assert {answer.split()[0] for answer in network.ask("c", VIP, 53, kind="udp", count=20)} == {"a", "b"}
    assert network.ask("outside", VIP, 80)[0].split()[1] in {"10.8.0.1"}, "from outside it is masqueraded"
    assert network.ask("node", VIP, 80)[0].split()[0] in {"a", "b"}
    assert network.ask("c", VIP, 81) == ["refused"]


def test_endpoints_change(network: Network, table: Table) -> None:
    a, b, c = (network.pods[name] for name in "abc")
    table.serve((service(), slices((a, "n1"))))
    assert network.ask("c", VIP, 80) == [f"a {c}"]
    table.serve((service(), slices((b, "n1"))))
    assert network.ask("c", VIP, 80) == [f"b {c}"]
    table.serve((service(), []))
    assert network.ask("c", VIP, 80) == ["refused"]
    assert network.ask("node", VIP, 80) == ["refused"]
    table.serve()
    assert table.applied is not None
    assert "ns/web" not in network.execute("node", "nft", "list", "ruleset")


def test_hairpin(network: Network, table: Table) -> None:
    table.serve((service(), slices((network.pods["a"], "n1"))))
    assert network.ask("a", VIP, 80) == ["a 10.8.0.1"]


def test_node_port(network: Network, table: Table) -> None:
    spec = {"type": "NodePort", "ports": [{"name": "web", "port": 80, "nodePort": 30080}]}
    a, b = network.pods["a"], network.pods["b"]
    table.serve((service(**spec), slices((a, "n1"), (b, "n1"))))
    answers = network.ask("outside", "10.9.0.1", 30080, count=20)
    assert set(answers) == {"a 10.8.0.1", "b 10.8.0.1"}
    assert network.ask("c", "10.9.0.1", 30080)[0].split()[0] in {"a", "b"}
    assert network.ask("node", "10.9.0.1", 30080)[0].split()[0] in {"a", "b"}
    table.serve((service(**spec), []))
    assert network.ask("outside", "10.9.0.1", 30080) == ["refused"]


def test_external_traffic_policy_local(network: Network, table: Table) -> None:
    spec = {
        "type": "NodePort",
        "externalTrafficPolicy": "Local",
        "ports": [{"name": "web", "port": 80, "nodePort": 30080}],
    }
    a, b = network.pods["a"], network.pods["b"]
    table.serve((service(**spec), slices((a, "n1"), (b, "n2"))))
    assert set(network.ask("outside", "10.9.0.1", 30080, count=10)) == {"a 10.9.0.2"}, "the source is kept"
    assert {each.split()[0] for each in network.ask("c", "10.9.0.1", 30080, count=20)} == {"a", "b"}
    table.serve((service(**spec), slices((b, "n2"))))
    assert network.ask("outside", "10.9.0.1", 30080) == ["timeout"]
    assert network.ask("c", "10.9.0.1", 30080)[0].split()[0] == "b"
    assert network.ask("node", "10.9.0.1", 30080)[0].split()[0] == "b"


def test_internal_traffic_policy_local(network: Network, table: Table) -> None:
    a, b, c = (network.pods[name] for name in "abc")
    policy = {"internalTrafficPolicy": "Local"}
    table.serve((service(**policy), slices((a, "n1"), (b, "n2"))))
    assert set(network.ask("c", VIP, 80, count=10)) == {f"a {c}"}
    table.serve((service(**policy), slices((b, "n2"))))
    assert network.ask("c", VIP, 80) == ["timeout"]


def test_session_affinity(network: Network, table: Table) -> None:
    a, b = network.pods["a"], network.pods["b"]
    sticky = service(sessionAffinity="ClientIP")
    table.serve((sticky, slices((a, "n1"), (b, "n1"))))
    answers = set(network.ask("c", VIP, 80, count=20))
    assert len(answers) == 1
    other = "b" if answers.pop().startswith("a") else "a"
    table.serve((sticky, slices((network.pods[other], "n1"))))
    assert network.ask("c", VIP, 80)[0].split()[0] == other


def test_external_ip_and_source_ranges(network: Network, table: Table) -> None:
    a = network.pods["a"]
    spec: dict[str, Any] = {"type": "LoadBalancer", "externalIPs": ["10.6.0.1"]}
    balanced = service(**spec, loadBalancerSourceRanges=["10.8.0.0/16"])
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "10.6.0.2"}]}}
    table.serve((balanced, slices((a, "n1"))))
    assert network.ask("outside", "10.6.0.1", 80) == ["a 10.8.0.1"]
    assert network.ask("outside", "10.6.0.2", 80) == ["timeout"], "not in the source ranges"
    assert network.ask("c", "10.6.0.2", 80)[0].split()[0] == "a"


def test_udp_flows_to_removed_endpoints_end(network: Network, table: Table) -> None:
    a, b, c = (network.pods[name] for name in "abc")
    before, after = (service(), slices((a, "n1"))), (service(), slices((b, "n1")))
    table.serve(before)
    assert network.ask("c", VIP, 53, kind="udp", source=5000) == [f"a {c}"]
    table.serve(after)
    assert network.ask("c", VIP, 53, kind="udp", source=5000) == [f"a {c}"], "the flow outlives its rule"
    ports = service_ports.service_ports(*after, NODE)
    with entered(network.namespace("node")):
        doomed = stale_flows.stale(conntracks.flows("ip"), ports, NODE)
        # Earlier tests' flows are among them.
        assert {flow.answers for flow in doomed} == {(a, 8080)}
        assert conntracks.delete(doomed, "ip") == len(doomed)
        assert conntracks.delete(doomed, "ip") == 0
        assert not stale_flows.stale(conntracks.flows("ip"), ports, NODE)
    assert network.ask("c", VIP, 53, kind="udp", source=5000) == [f"b {c}"]


def test_differences_end_where_a_fresh_table_begins(network: Network, table: Table) -> None:
    """Every transition between a few states must leave exactly the table that the state makes from nothing."""
    a, b = network.pods["a"], network.pods["b"]
    two = slices((a, "n1"), (b, "n2"))
    node_port = {"type": "NodePort", "ports": [{"name": "web", "port": 80, "nodePort": 30080}]}
    states: list[list[tuple[dict[str, Any], list[dict[str, Any]]]]] = [
        [],
        [(service(), two)],
        [(service(sessionAffinity="ClientIP"), two)],
        [(service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}}), two)],
        [(service(**node_port, externalTrafficPolicy="Local"), slices((b, "n2")))],
        [(service(**node_port), two), (service(name="rival", **node_port), slices((a, "n1")))],
        [(service(), [])],
    ]
    expected: list[dict[str, list[str]]] = []
    for state in states:
        table.applied = None
        table.serve(*state)
        expected.append(_shape(network))
    for start in range(len(states)):
        for end in range(len(states)):
            table.applied = None
            table.serve(*states[start])
            table.serve(*states[end])
            assert _shape(network) == expected[end], (start, end)


def _shape(network: Network) -> dict[str, list[str]]:
    """The table by chain and set, without what depends on history: handles and the order of elements."""
    found: dict[str, list[str]] = {}
    for each in json.loads(network.execute("node", "nft", "-j", "list", "table", "ip", "kube-proxy"))["nftables"]:
        for kind in ("chain", "rule", "set", "map"):
            if kind in each:
                body = {key: value for key, value in each[kind].items() if key not in {"handle", "elem"}}
                elements = sorted(json.dumps(element) for element in each[kind].get("elem", []))
                name = each[kind]["chain" if kind == "rule" else "name"]
                found.setdefault(name, []).extend([json.dumps(body, sort_keys=True), *elements])
    return found
