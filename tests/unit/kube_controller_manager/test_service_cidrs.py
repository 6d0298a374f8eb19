"""Which ServiceCIDRs addresses still need."""

from __future__ import annotations

import pytest

from keelson.api.meta import Object
from keelson.kube_controller_manager.controllers.service_cidr import is_needed


def cidr(*networks: str) -> Object:
    return {"spec": {"cidrs": list(networks)}}


@pytest.mark.parametrize(
    ("own", "others", "addresses", "needed"),
    [
        (["10.0.0.0/24"], [], [], False),
        (["10.0.0.0/24"], [], ["10.0.0.5"], True),
        (["10.0.0.0/24"], [], ["10.0.1.5"], False),
        (["10.0.0.0/24"], ["10.0.0.0/16"], ["10.0.0.5"], False),
        (["10.0.0.0/24"], ["10.0.0.0/25"], ["10.0.0.5"], False),
        (["10.0.0.0/24"], ["10.0.0.0/25"], ["10.0.0.200"], True),
        (["10.0.0.0/24", "fd00::/112"], ["10.0.0.0/16"], ["fd00::5"], True),
        (["10.0.0.0/24", "fd00::/112"], ["10.0.0.0/16", "fd00::/64"], ["10.0.0.5", "fd00::5"], False),
    ],
)
def test_a_network_is_needed_while_an_address_has_no_other(
    own: list[str], others: list[str], addresses: list[str], needed: bool
) -> None:
    assert is_needed(cidr(*own), [cidr(other) for other in others], addresses) is needed
