"""The official Python client against the cluster. Warnings are errors in all tests, so it must work without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch

from tests.cluster import workloads
from tests.clusters import Cluster, Namespace

pytestmark = pytest.mark.lab

_WATCH_SECONDS = 120


@pytest.fixture
def core(cluster: Cluster) -> Iterator[Any]:
    # Any: the client carries no types that fit manifests.
    connect: Any = config.new_client_from_config
    with connect(str(cluster.kubeconfig)) as api:
        yield client.CoreV1Api(api)


def test_pods_are_listed_created_watched_and_deleted(core: Any, namespace: Namespace) -> None:
    listed = core.list_namespaced_pod(namespace.name)
    assert listed.items == []

    created = core.create_namespaced_pod(namespace.name, workloads.pod("web", workloads.SERVE))
    assert created.metadata.uid
    seen = []
    make_watch: Any = watch.Watch
    stream = make_watch()
    for event in stream.stream(
        core.list_namespaced_pod,
        namespace.name,
        resource_version=listed.metadata.resource_version,
        timeout_seconds=_WATCH_SECONDS,
    ):
        pod = event["object"]
        seen.append((event["type"], pod.status.phase))
        if event["type"] == "DELETED":
            stream.stop()
        elif pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None:
            core.delete_namespaced_pod("web", namespace.name)
    assert seen[0] == ("ADDED", "Pending")
    assert ("MODIFIED", "Running") in seen
    assert seen[-1][0] == "DELETED"
    assert core.list_namespaced_pod(namespace.name).items == []


def test_lists_come_in_pages_and_by_selectors(core: Any, namespace: Namespace) -> None:
    for number in range(5):
        core.create_namespaced_config_map(
            namespace.name, {"metadata": {"name": f"map-{number}", "labels": {"odd": str(number % 2)}}}
        )
    page = core.list_namespaced_config_map(namespace.name, limit=2, label_selector="odd=0")
    names = [item.metadata.name for item in page.items]
    assert page.metadata._continue
    rest = core.list_namespaced_config_map(
        namespace.name, limit=2, label_selector="odd=0", _continue=page.metadata._continue
    )
    names += [item.metadata.name for item in rest.items]
    assert names == ["map-0", "map-2", "map-4"]
    one = core.list_namespaced_config_map(namespace.name, field_selector="metadata.name=map-3")
    assert [item.metadata.name for item in one.items] == ["map-3"]


def test_what_is_missing_or_wrong_is_a_status(core: Any, namespace: Namespace) -> None:
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_pod("none", namespace.name)
    assert missing.value.status == 404
    manifest = workloads.pod("wrong", "true")
    manifest["spec"]["containers"][0]["name"] = "Not a name"
    with pytest.raises(client.ApiException) as wrong:
        core.create_namespaced_pod(namespace.name, manifest)
    assert wrong.value.status == 422
    assert "spec.containers[0].name" in str(wrong.value.body)
