"""Bootstrap tokens on a real server: they sign cluster-info while they hold, and then go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keelson.api.errors import StatusError
from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.bootstrap_tokens import (
    TYPE,
    BootstrapSignerController,
    TokenCleanerController,
    signature,
)
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = pytest.mark.lab


async def test_a_token_signs_cluster_info_until_it_is_over(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    key = "jws-kubeconfig-abcdef"

    async def signed() -> str:
        info = await client.get("configmaps", "cluster-info", namespace="kube-public")
        return str((info.get("data") or {}).get(key, ""))

    async def gone() -> bool:
        try:
            await client.get("secrets", "bootstrap-token-abcdef", namespace="kube-system")
        except StatusError as error:
            return error.code == 404
        return False

    async def unsigned() -> bool:
        return not await signed()

    async with controlling(BootstrapSignerController, TokenCleanerController):
        info = {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "content"}}
        await client.create("configmaps", info)
        ends = datetime.now(UTC) + timedelta(seconds=10)
        data = {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-signing": "true",
            "expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        secret = {"metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}, "type": TYPE}
        await client.create("secrets", {**secret, "stringData": data})
        assert await eventually(signed) == signature("content", "abcdef", "0123456789abcdef")
        await eventually(gone)
        await eventually(unsigned)
