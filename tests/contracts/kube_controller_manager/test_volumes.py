"""Claims and volumes on a real server: bound, protected while used, released."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import meta
from keelson.api.errors import StatusError
from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.ephemeral_volume import EphemeralVolumeController
from keelson.kube_controller_manager.controllers.persistent_volume_binder import (
    CLAIMS,
    VOLUMES,
    PersistentVolumeBinderController,
)
from keelson.kube_controller_manager.controllers.storage_protection import (
    PersistentVolumeClaimProtectionController,
    PersistentVolumeProtectionController,
)
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = pytest.mark.lab
ALL = (
    PersistentVolumeBinderController,
    PersistentVolumeClaimProtectionController,
    PersistentVolumeProtectionController,
    EphemeralVolumeController,
)


def volume(name: str, size: str, storage_class: str) -> dict[str, Any]:
    spec = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "hostPath": {"path": "/data"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    return {"metadata": {"name": name}, "spec": spec}


def claim_spec(size: str, storage_class: str) -> dict[str, Any]:
    requests = {"storage": size}
    return {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "resources": {"requests": requests}}


async def test_a_claim_is_bound_kept_while_used_and_its_volume_released(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def phase(resource: str, name: str, wanted: str) -> bool:
        where = namespace if resource == CLAIMS else ""
        found = await client.get(resource, name, namespace=where)
        return bool((found.get("status") or {}).get("phase") == wanted)

    async def gone(resource: str, name: str) -> bool:
        try:
            await client.get(resource, name, namespace=namespace if resource == CLAIMS else "")
        except StatusError as error:
            return error.code == 404
        return False

    small, large = f"{namespace}-small", f"{namespace}-large"
    for name, size in ((small, "1Gi"), (large, "5Gi")):
        await client.create(VOLUMES, volume(name, size, namespace))
    async with controlling(*ALL):
        body = {"metadata": {"name": "c", "namespace": namespace}, "spec": claim_spec("2Gi", namespace)}
        await client.create(CLAIMS, body)
        await eventually(lambda: phase(CLAIMS, "c", "Bound"))
        found = await client.get(CLAIMS, "c", namespace=namespace)
        assert found["spec"]["volumeName"] == large
        assert found["status"]["capacity"] == {"storage": "5Gi"}
        assert await phase(VOLUMES, large, "Bound")
        await eventually(lambda: phase(VOLUMES, small, "Available"))

        mounted = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
        spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}], "volumes": [mounted]}
        await client.create("pods", {"metadata": {"name": "user", "namespace": namespace}, "spec": spec})
        await client.delete(CLAIMS, "c", namespace=namespace)
        await client.delete(VOLUMES, large)
        assert meta.is_deleting(await client.get(CLAIMS, "c", namespace=namespace))
        await client.delete("pods", "user", namespace=namespace, grace_period_seconds=0)
        await eventually(lambda: gone(CLAIMS, "c"))
        await eventually(lambda: gone(VOLUMES, large))


async def test_a_pod_gets_the_claim_of_its_ephemeral_volume(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    await client.create(VOLUMES, volume(f"{namespace}-v", "1Gi", namespace))

    async def bound() -> Any:
        try:
            found = await client.get(CLAIMS, "p-scratch", namespace=namespace)
        except StatusError:
            return None
        return found if (found.get("status") or {}).get("phase") == "Bound" else None

    async with controlling(*ALL):
        scratch = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim_spec("1Gi", namespace)}}}
        spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [scratch]}
        pod = await client.create("pods", {"metadata": {"name": "p", "namespace": namespace}, "spec": spec})
        found = await eventually(bound)
        assert [owner["uid"] for owner in meta.owners(found)] == [meta.uid(pod)]


async def test_only_what_can_grow_may_grow(client: Client, namespace: str) -> None:
    body = {"metadata": {"name": "c", "namespace": namespace}, "spec": claim_spec("2Gi", namespace)}
    made = await client.create(CLAIMS, body)
    grow = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    with pytest.raises(StatusError) as caught:
        await client.patch(CLAIMS, "c", grow, namespace=namespace)
    assert caught.value.code in {403, 422}
    await client.update_status(CLAIMS, {**made, "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}})
    with pytest.raises(StatusError, match="the storageclass that provisions the pvc must support resize"):
        await client.patch(CLAIMS, "c", grow, namespace=namespace)
    name = {"metadata": {"name": namespace}, "provisioner": "example.com/p", "allowVolumeExpansion": True}
    await client.create("storageclasses.storage.k8s.io", name)
    grown = await client.patch(CLAIMS, "c", grow, namespace=namespace)
    assert grown["spec"]["resources"]["requests"]["storage"] == "3Gi"
