"""EndpointSlices: readiness, ports by name, full slices, and no more changes than needed."""

from typing import Any

from keelson.kube_controller_manager.decisions import endpoint_slices

SERVICE: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "ns", "uid": "s", "labels": {"app": "web"}},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}], "clusterIP": "10.0.0.1"},
}


def _pod(number: int, *, ready: bool = True, **head: Any) -> dict[str, Any]:
    address = f"10.1.{number // 250}.{number % 250 + 1}"
    return {
        "metadata": {"name": f"p{number:04}", "namespace": "ns", "uid": f"u{number}", **head},
        "spec": {"nodeName": "n", "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def _named(slices: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [{**s, "metadata": {**s["metadata"], "name": f"web-{i}", "uid": f"e{i}"}} for i, s in enumerate(slices)]


def test_a_pod_becomes_an_endpoint() -> None:
    plan = endpoint_slices.plan(SERVICE, [_pod(1)], {}, [])
    (made,) = plan.create
    assert made["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    (endpoint,) = made["endpoints"]
    assert endpoint["addresses"] == ["10.1.0.2"]
    assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}
    assert made["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    again = endpoint_slices.plan(SERVICE, [_pod(1)], {}, _named(plan.create))
    assert again == endpoint_slices.Plan((), (), ())


def test_unready_terminating_and_finished_pods() -> None:
    deleting = _pod(2, deletionTimestamp="2026-01-01T00:00:00Z")
    finished = _pod(3)
    finished["status"]["phase"] = "Succeeded"
    plan = endpoint_slices.plan(SERVICE, [_pod(1, ready=False), deleting, finished], {}, [])
    conditions = [found["conditions"] for found in plan.create[0]["endpoints"]]
    assert conditions == [
        {"ready": False, "serving": False, "terminating": False},
        {"ready": False, "serving": True, "terminating": True},
    ]


def test_a_service_without_pods_has_an_empty_slice() -> None:
    plan = endpoint_slices.plan(SERVICE, [], {}, [])
    assert [found["endpoints"] for found in plan.create] == [[]]
    assert endpoint_slices.plan(SERVICE, [], {}, _named(plan.create)) == endpoint_slices.Plan((), (), ())


def test_slices_hold_a_hundred_and_one_pod_more_touches_one_slice() -> None:
    plan = endpoint_slices.plan(SERVICE, [_pod(n) for n in range(250)], {}, [])
    assert sorted(len(found["endpoints"]) for found in plan.create) == [50, 100, 100]
    existing = _named(plan.create)
    plan = endpoint_slices.plan(SERVICE, [_pod(n) for n in range(251)], {}, existing)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)
    plan = endpoint_slices.plan(SERVICE, [_pod(n) for n in range(1, 250)], {}, existing)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)
    plan = endpoint_slices.plan(SERVICE, [], {}, existing)
    assert len(plan.create) + len(plan.update) <= 1
    assert len(plan.delete) >= 2
