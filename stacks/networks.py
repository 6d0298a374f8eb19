"""The networks of a stack: those nobody chose, and what all of them must be.

Networks that nobody chose are derived from the clone and the stack, so that two stacks of one clone never share one,
and two clones on one machine hardly ever do (a taken network is then found before a host is made, and a choice of one's
own wins).
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
from collections.abc import Mapping
from typing import Final

from .values import SettingsError

# The environments that every clone has get a slot of their own; other stacks hash into the rest. A slot is part of each
# derived network, which is what keeps the stacks of one clone apart.
_SLOTS: Final = {"dev": 0, "ha": 1, "vm": 2, "metal": 3, "test": 4, "bench": 5}
_SLOT_COUNT: Final = 16

NODE_POD_PREFIX: Final = 24
"""The prefix length of each node's share of the pod network (kube-controller-manager's --node-cidr-mask-size)."""


def derive(clone_id: str, stack: str) -> dict[str, str]:
    """The networks of a stack that chose none.

    Hosts get a /24 of 10.64.0.0/10, pods a /18 of 10.128.0.0/9, services a /20 of 172.16.0.0/12. Four bits of each are
    the stack's slot in its clone, the others come from the clone's identity.
    """
    seed = int(hashlib.sha256(clone_id.encode()).hexdigest(), 16)
    slot = _SLOTS.get(stack)
    if slot is None:
        spare = _SLOT_COUNT - len(_SLOTS)
        slot = len(_SLOTS) + int(hashlib.sha256(stack.encode()).hexdigest(), 16) % spare
    return {
        "hostNetwork": _subnet("10.64.0.0/10", 24, seed, slot),
        "podNetwork": _subnet("10.128.0.0/9", 18, seed, slot),
        "serviceNetwork": _subnet("172.16.0.0/12", 20, seed, slot),
    }


def _subnet(parent: str, prefix: int, seed: int, slot: int) -> str:
    network = ipaddress.IPv4Network(parent)
    count = 1 << (prefix - network.prefixlen)
    index = (seed % (count // _SLOT_COUNT)) * _SLOT_COUNT + slot
    return str(ipaddress.IPv4Network((int(network.network_address) + (index << (32 - prefix)), prefix)))


def check(networks: Mapping[str, ipaddress.IPv4Network]) -> None:
    """Refuse networks, each named by its key, that overlap, and one too small for services. Raises SettingsError."""
    for (other_key, other), (key, network) in itertools.combinations(networks.items(), 2):
        if network.overlaps(other):
            raise SettingsError(key, f"{network} overlaps {other_key} {other}; choose disjoint networks")
    services = networks["serviceNetwork"]
    if services.prefixlen > 28:
        raise SettingsError("serviceNetwork", f"{services} is too small; at least a /28 (DNS takes its tenth address)")


def check_pod_room(pods: ipaddress.IPv4Network, machines: int) -> None:
    """Refuse a pod network without a share for each machine. Raises SettingsError."""
    if pods.prefixlen > NODE_POD_PREFIX or (1 << (NODE_POD_PREFIX - pods.prefixlen)) < machines:
        raise SettingsError(
            "podNetwork", f"{pods} has no /{NODE_POD_PREFIX} for each of {machines} hosts; choose a larger one"
        )
