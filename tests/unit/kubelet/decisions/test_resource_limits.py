from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from keelson.api.meta import Object
from keelson.kubelet.decisions import resource_limits


def container(name: str = "c", *, requests: Any = None, limits: Any = None, **more: Any) -> Object:
    return {"name": name, "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(*containers: Object, init: Any = (), **spec: Any) -> Object:
    return {
        "metadata": {"name": "p", "uid": "a-b"},
        "spec": {"containers": list(containers), "initContainers": list(init), **spec},
    }


_BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([container()], "BestEffort"),
        ([container(requests={"cpu": "0"})], "BestEffort"),
        ([container(requests=_BOTH, limits=_BOTH)], "Guaranteed"),
        ([container(limits=_BOTH)], "Guaranteed"),
        ([container(requests={"cpu": "1000m", "memory": "1Gi"}, limits=_BOTH)], "Guaranteed"),
        ([container(limits=_BOTH), container("d")], "Burstable"),
        ([container(limits={"cpu": "1"})], "Burstable"),
        ([container(requests={"memory": "1Mi"})], "Burstable"),
        ([container(requests={"example.com/gpu": "1"})], "BestEffort"),
    ],
)
def test_qos_class(containers: list[Object], expected: str) -> None:
    assert resource_limits.qos_class(pod(*containers)) == expected


def test_requests_are_those_of_the_larger_phase() -> None:
    made = pod(
        container(requests={"cpu": "1"}),
        container("d", requests={"cpu": "500m"}),
        init=[
            container("i", requests={"cpu": "3"}),
            container("s", requests={"cpu": "1"}, restartPolicy="Always"),
            container("j", requests={"cpu": "2500m"}),
        ],
        overhead={"cpu": "100m"},
    )
    # The last init container runs beside the sidecar: 3.5; the work is 2.5; overhead counts in any case.
    assert resource_limits.pod_requests(made)["cpu"] == Decimal("3.6")


def test_only_what_is_enforced_is_asked_for() -> None:
    made = container(requests={"cpu": "250m"}, limits={"cpu": "500m", "memory": "64Mi"})
    none = resource_limits.linux_resources(pod(made), made, enforced=(), memory_capacity=2**30)
    assert (none.cpu_shares, none.cpu_quota, none.memory_limit_in_bytes) == (0, 0, 0)
    full = resource_limits.linux_resources(pod(made), made, enforced=("cpu", "memory"), memory_capacity=2**30)
    assert (full.cpu_shares, full.cpu_quota, full.cpu_period) == (256, 50_000, 100_000)
    assert full.memory_limit_in_bytes == 64 * 2**20


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (container(), 1000),
        (container(limits=_BOTH), -997),
        (container(requests={"memory": "512Mi"}), 500),
        (container(requests={"memory": "1Ki"}), 999),
    ],
)
def test_oom_scores(made: Object, expected: int) -> None:
    assert resource_limits.oom_score(pod(made), made, memory_capacity=2**30) == expected


def test_cgroup_names() -> None:
    assert resource_limits.cgroup_parent(pod(container()), driver="cgroupfs") == "/kubepods/besteffort/poda-b"
    name = resource_limits.cgroup_parent(pod(container(limits=_BOTH)), driver="systemd")
    assert name == "kubepods-poda_b.slice"
