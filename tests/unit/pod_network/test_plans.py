"""The plan of a node's network."""

import json
from typing import Any

from keelson.pod_network.decisions import plans
from keelson.pod_network.decisions.plans import NodeNetwork


def _node(name: str, cidr: str | None, address: str | None) -> dict[str, Any]:
    addresses = [{"type": "Hostname", "address": name}]
    if address:
        addresses.append({"type": "InternalIP", "address": address})
    return {"metadata": {"name": name}, "spec": {"podCIDR": cidr} if cidr else {}, "status": {"addresses": addresses}}


def _plan(*nodes: dict[str, Any], cluster: tuple[str, ...] = ()) -> plans.Plan | None:
    return plans.plan(map(plans.node_network, nodes), "n1", cluster)


N1 = _node("n1", "10.8.0.0/24", "10.9.0.1")


def test_routes_to_all_others() -> None:
    found = _plan(N1, _node("n2", "10.8.1.0/24", "10.9.0.2"), _node("n3", "10.8.2.0/24", "10.9.0.3"))
    assert found is not None
    assert found.pod_cidrs == ("10.8.0.0/24",)
    assert found.routes == {"10.8.1.0/24": "10.9.0.2", "10.8.2.0/24": "10.9.0.3"}
    assert found.cluster == ("10.8.0.0/23", "10.8.2.0/24")


def test_nothing_before_this_node_has_a_network() -> None:
    assert _plan() is None
    assert _plan(_node("n1", None, "10.9.0.1")) is None
    assert _plan(_node("n2", "10.8.1.0/24", "10.9.0.2")) is None


def test_nodes_without_a_network_have_no_route() -> None:
    found = _plan(N1, _node("n2", None, "10.9.0.2"), _node("n3", "10.8.2.0/24", None), _node("n4", "nonsense", "x"))
    assert found is not None
    assert found.routes == {}


def test_overlaps_are_not_routed() -> None:
    """A node that claims this node's network, or all of the cluster's, must not draw its traffic."""
    found = _plan(N1, _node("n2", "10.8.0.0/24", "10.9.0.2"), _node("n3", "10.0.0.0/8", "10.9.0.3"))
    assert found is not None
    assert found.routes == {}


def test_families_are_kept_apart() -> None:
    two = NodeNetwork("n2", ("10.8.1.0/24", "fd00:1::/64"), ("10.9.0.2", "fd00::2"))
    one = NodeNetwork("n1", ("10.8.0.0/24", "fd00:0:0:1::/64"), ("10.9.0.1", "fd00::1"))
    found = plans.plan([one, two], "n1")
    assert found is not None
    assert found.routes == {"10.8.1.0/24": "10.9.0.2", "fd00:1::/64": "fd00::2"}


def test_cni_configuration() -> None:
    document = json.loads(plans.cni_configuration(["10.8.0.0/24"], 1450))
    link, ports = document["plugins"]
    assert (document["cniVersion"], document["name"]) == ("1.0.0", "keelson")
    assert (link["type"], link["mtu"]) == ("ptp", 1450)
    assert link["ipam"]["ranges"] == [[{"subnet": "10.8.0.0/24"}]]
    assert link["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}]
    assert ports == {"type": "portmap", "capabilities": {"portMappings": True}}


def test_masquerading_spares_the_cluster() -> None:
    found = _plan(N1, cluster=("10.8.0.0/16",))
    assert found is not None
    assert "ip saddr { 10.8.0.0/24 } ip daddr != { 10.8.0.0/16, 224.0.0.0/4 } masquerade" in plans.masquerading(found)


def test_route_changes() -> None:
    changed, removed = plans.route_changes({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"})
    assert changed == {"b": "9", "d": "4"}
    assert removed == ["c"]
