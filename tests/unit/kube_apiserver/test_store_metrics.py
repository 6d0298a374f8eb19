"""Calls of the store: whose they are counted as, and which of them have failed."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.store_metrics import Measured, Metrics
from keelson.storage.errors import KeyExistsError, UnavailableError
from keelson.storage.memory import MemoryStore
from keelson.storage.stores import Found
from keelson.storage.transformers import Identity


class _Lost(MemoryStore):
    async def get(self, key: str) -> Found:
        raise UnavailableError(f"no leader for {key}")


@pytest.fixture
def store() -> Measured:
    found = Measured(_Lost())
    found.resource_of = Catalogue(Feed(found), Identity()).resource_of
    return found


def _shown(store: Measured, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(Metrics(store))
    return registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("key", "group", "resource"),
    [
        ("/registry/pods/a/b", "", "pods"),
        ("/registry/services/specs/a/b", "", "services"),
        ("/registry/services/endpoints/a/b", "", "endpoints"),
        ("/registry/minions/a", "", "nodes"),
        ("/registry/deployments/a/b", "apps", "deployments"),
        ("/registry/apiextensions.k8s.io/customresourcedefinitions/a.b", "apiextensions.k8s.io",
         "customresourcedefinitions"),
        ("/registry/masterleases/192.0.2.1", "", ""),
    ],
)  # fmt: skip
async def test_keys_tell_resources(store: Measured, key: str, group: str, resource: str) -> None:
    await store.create(key, b"x")
    labels = {"operation": "create", "group": group, "resource": resource}
    assert _shown(store, "etcd_requests_total", **labels) == 1
    assert _shown(store, "etcd_request_duration_seconds_count", **labels) == 1


async def test_a_store_that_is_lost_is_an_error_and_one_that_answers_is_none(store: Measured) -> None:
    pods = {"group": "", "resource": "pods"}
    await store.create("/registry/pods/a/b", b"x")
    with pytest.raises(KeyExistsError):
        await store.create("/registry/pods/a/b", b"x")
    with pytest.raises(UnavailableError):
        await store.get("/registry/pods/a/b")
    assert _shown(store, "etcd_requests_total", operation="create", **pods) == 2
    assert _shown(store, "etcd_request_errors_total", operation="create", **pods) is None
    assert _shown(store, "etcd_requests_total", operation="get", **pods) == 1
    assert _shown(store, "etcd_request_errors_total", operation="get", **pods) == 1


async def test_lists_tell_what_they_read(store: Measured) -> None:
    for name in "abc":
        await store.create(f"/registry/pods/a/{name}", b"x")
    await store.list("/registry/pods/", limit=2)
    await store.list("/registry/pods/")
    pods = {"group": "", "resource": "pods"}
    assert _shown(store, "apiserver_storage_list_total", **pods) == 2
    assert _shown(store, "apiserver_storage_list_fetched_objects_total", **pods) == 5


async def test_the_size_is_shown_once_it_is_known(store: Measured) -> None:
    assert _shown(store, "apiserver_storage_size_bytes", storage_cluster_id="etcd-0") is None
    await store.create("/registry/pods/a/b", bytes(100))
    await store.size()
    size = _shown(store, "apiserver_storage_size_bytes", storage_cluster_id="etcd-0")
    assert size is not None
    assert size >= 100
