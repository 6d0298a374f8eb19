from __future__ import annotations

from typing import Any

import pytest

from keelson.api.meta import Object
from keelson.kubelet.decisions.admissions import refusal

_NODE = {
    "metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8"}},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
}


def pod(uid: str = "u", *, cpu: str = "0", port: int = 0, **spec: Any) -> Object:
    container: Object = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    if port:
        container["ports"] = [{"containerPort": 80, "hostPort": port}]
    return {"metadata": {"name": uid, "uid": uid}, "spec": {"containers": [container], **spec}}


def affinity(**term: Any) -> Any:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


@pytest.mark.parametrize(
    ("made", "others", "reason"),
    [
        (pod(cpu="2"), [], None),
        (pod(cpu="2"), [pod("o", cpu="1m")], "OutOfcpu"),
        (pod(cpu="2"), [pod("u", cpu="2")], None),
        (pod(), [pod("a"), pod("b"), pod("c")], "OutOfpods"),
        (pod(port=80), [pod("o", port=80)], "NodePorts"),
        (pod(port=81), [pod("o", port=80)], None),
        (pod(nodeSelector={"disk": "ssd"}), [], None),
        (pod(nodeSelector={"disk": "hdd"}), [], "NodeAffinity"),
        (pod(affinity=affinity(matchExpressions=[{"key": "cores", "operator": "Gt", "values": ["4"]}])), [], None),
        (pod(affinity=affinity(matchExpressions=[{"key": "disk", "operator": "DoesNotExist"}])), [], "NodeAffinity"),
        (pod(affinity=affinity(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n1"]}])), [], None),
        (
            pod(affinity=affinity(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["x"]}])),
            [],
            "NodeAffinity",
        ),
        (pod(os={"name": "windows"}), [], "PodOSNotSupported"),
    ],
)
def test_refusals(made: Object, others: list[Object], reason: str | None) -> None:
    found = refusal(made, _NODE, others)
    assert (found[0] if found else None) == reason


@pytest.mark.parametrize(
    ("made", "pressures", "refused"),
    [
        (pod(), {"MemoryPressure"}, True),
        (pod(cpu="1"), {"MemoryPressure"}, False),
        (pod(cpu="1"), {"DiskPressure"}, True),
        (pod(priority=2_000_000_000), {"DiskPressure", "MemoryPressure"}, False),
    ],
)
def test_under_pressure(made: Object, pressures: set[str], refused: bool) -> None:
    assert (refusal(made, _NODE, [], pressures=frozenset(pressures)) is not None) is refused
