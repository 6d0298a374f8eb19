"""Pod networks never overlap, whatever nodes came and went."""

from ipaddress import IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelson.kube_controller_manager.decisions import cidrs

CLUSTER = IPv4Network("10.244.0.0/20")


def test_the_lowest_free_network() -> None:
    used = cidrs.taken(["10.244.0.0/24", "10.244.2.0/24"])
    assert cidrs.for_node([CLUSTER], [24], used) == ["10.244.1.0/24"]


def test_two_families() -> None:
    assert cidrs.for_node([CLUSTER, ip_network("fd00::/48")], [24, 64], []) == ["10.244.0.0/24", "fd00::/64"]


def test_all_used() -> None:
    with pytest.raises(cidrs.ExhaustedError, match=r"10\.244\.0\.0/20 has no free /24 left"):
        cidrs.next_free(CLUSTER, 24, CLUSTER.subnets(new_prefix=24))


@given(st.lists(st.integers(0, 63), max_size=40), st.integers(21, 26))
def test_no_overlap_with_networks_of_other_sizes(taken: list[int], size: int) -> None:
    subnets = list(CLUSTER.subnets(new_prefix=26))
    used = [subnets[index] for index in taken]
    try:
        fresh = cidrs.next_free(CLUSTER, size, used)
    except cidrs.ExhaustedError:
        assert all(any(block.overlaps(one) for one in used) for block in CLUSTER.subnets(new_prefix=size))
    else:
        assert isinstance(fresh, IPv4Network)
        assert fresh.subnet_of(CLUSTER)
        assert not any(fresh.overlaps(one) for one in used)
