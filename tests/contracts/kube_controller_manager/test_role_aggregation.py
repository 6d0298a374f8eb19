"""Aggregated ClusterRoles follow the roles that they choose."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.role_aggregation import RoleAggregationController
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = pytest.mark.lab

_ROLES = "clusterroles.rbac.authorization.k8s.io"


def rule(resource: str) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": [resource], "verbs": ["get"]}


async def test_rules_come_and_go_with_their_roles(
    client: Client, controlling: Controlling, eventually: Eventually
) -> None:
    async def has(*rules: dict[str, Any]) -> bool:
        return ((await client.get(_ROLES, "whole"))["rules"] or []) == list(rules)

    chosen = {"clusterRoleSelectors": [{"matchLabels": {"part-of": "whole"}}]}
    whole = {"metadata": {"name": "whole"}, "aggregationRule": chosen, "rules": [rule("secrets")]}
    async with controlling(RoleAggregationController):
        await client.create(_ROLES, whole)
        await eventually(lambda: has())
        for name, resource in (("part-b", "pods"), ("part-a", "nodes"), ("part-c", "pods")):
            part = {"metadata": {"name": name, "labels": {"part-of": "whole"}}, "rules": [rule(resource)]}
            await client.create(_ROLES, part)
        await eventually(lambda: has(rule("nodes"), rule("pods")))
        await client.delete(_ROLES, "part-a")
        await eventually(lambda: has(rule("pods")))
