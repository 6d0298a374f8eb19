"""Brings hosts to their roles: one resource a host, all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components import resources
from components.machines import Host


def converge(
    host: Host, *, roles: Sequence[str], variables: Mapping[str, Any], parent: pulumi.Resource
) -> resources.Convergence:
    """Declare the convergence of one host. Of a host that we made it goes with the host; an adopted host is let go."""
    return resources.Convergence(
        host.name,
        host=host.properties,
        owned=host.resource is not None,
        roles=roles,
        variables=variables,
        opts=pulumi.ResourceOptions(parent=parent, deleted_with=host.resource),
    )
