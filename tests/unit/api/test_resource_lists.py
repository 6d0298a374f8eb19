"""Sums of resource lists."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import resource_lists


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), "initContainers": list(init), **spec}}


def container(name: str, cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": {"cpu": cpu}}, **more}


def test_a_sum_keeps_the_notation_of_what_it_is_summed_into() -> None:
    assert resource_lists.add({"memory": "1Gi"}, {"memory": "1024M"})["memory"] == "2048576Ki"
    assert resource_lists.add({"memory": "1Gi"}, {"memory": "1Gi"})["memory"] == "2Gi"
    assert resource_lists.add({"cpu": "0"}, {"cpu": "1500m"})["cpu"] == "1500m"
    assert resource_lists.add({}, {"memory": "512Mi"})["memory"] == "512Mi"


def test_growth_is_never_negative() -> None:
    assert resource_lists.grown({"cpu": "1", "pods": "2"}, {"cpu": "2"}) == {"cpu": "0", "pods": "2"}


def test_what_exceeds_is_told_by_name_and_in_order() -> None:
    found = {"b": "3", "a": "2", "c": "9", "d": "1"}
    assert resource_lists.exceeding(found, {"a": "1", "b": "2", "d": "1"}) == ["a", "b"]
    assert resource_lists.shown({"memory": "2048Mi", "cpu": "1"}) == "cpu=1,memory=2Gi"


@pytest.mark.parametrize(
    ("found", "cpu"),
    [
        (pod(container("a", "100m"), container("b", "200m")), "300m"),
        (pod(container("a", "100m"), init=(container("i", "1"),)), "1"),
        (pod(container("a", "100m"), init=(container("s", "1", restartPolicy="Always"),)), "1100m"),
        (
            pod(
                container("a", "100m"),
                init=(container("s", "1", restartPolicy="Always"), container("i", "500m")),
            ),
            "1500m",
        ),
        (pod(container("a", "100m"), resources={"requests": {"cpu": "3"}}), "3"),
    ],
)
def test_a_pod_asks_for_its_containers_or_its_largest_first_step(found: dict[str, Any], cpu: str) -> None:
    assert resource_lists.pod_total(found, "requests") == {"cpu": cpu}


def test_overhead_is_added_to_limits_only_where_there_is_one() -> None:
    found = pod({"name": "a", "resources": {"limits": {"cpu": "1"}}}, overhead={"cpu": "250m", "memory": "1Mi"})
    assert resource_lists.pod_total(found, "limits", overhead=True) == {"cpu": "1250m"}
    assert resource_lists.pod_total(found, "requests", overhead=True) == {"cpu": "250m", "memory": "1Mi"}


def test_what_the_kubelet_still_gives_counts_where_it_is_more() -> None:
    found = pod(container("a", "100m"))
    found["status"] = {"containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "400m"}}]}
    assert resource_lists.pod_total(found, "requests", allocated=True) == {"cpu": "400m"}
    assert resource_lists.pod_total(found, "requests") == {"cpu": "100m"}
