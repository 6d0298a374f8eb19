"""Endpoints of services, and slices of Endpoints that somebody made."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api.meta import Object
from keelson.kube_controller_manager.decisions import endpoint_slices, endpoints


def service(**spec: Any) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "https", "port": 443}]
    return {
        "metadata": {"name": "s", "namespace": "default", "labels": {"app": "s"}},
        "spec": {"clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "ports": ports, **spec},
    }


def pod(name: str, ip: str, *, ready: bool = True, port: int = 8080, **status: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"nodeName": "n", "containers": [{"ports": [{"name": "web", "containerPort": port}]}]},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
            **status,
        },
    }


def addresses(subset: Object, field: str = "addresses") -> list[str]:
    return [found["ip"] for found in subset.get(field) or []]


def test_pods_with_the_same_ports_share_a_subset() -> None:
    found = [pod("b", "10.0.0.20"), pod("a", "10.0.0.3")]
    found += [pod("c", "10.0.0.4", ready=False), pod("d", "10.0.0.5", port=9)]
    made = endpoints.wanted(service(), found, None)
    assert made is not None
    first, other = sorted(made["subsets"], key=lambda subset: -len(subset["addresses"]))
    assert addresses(first) == ["10.0.0.3", "10.0.0.20"]
    assert addresses(first, "notReadyAddresses") == ["10.0.0.4"]
    assert first["ports"] == [
        {"name": "http", "port": 8080, "protocol": "TCP"},
        {"name": "https", "port": 443, "protocol": "TCP"},
    ]
    assert addresses(other) == ["10.0.0.5"]
    assert made["metadata"]["labels"] == {"app": "s", endpoints.CONTROLLER_LABEL: endpoints.CONTROLLER}
    assert first["addresses"][0]["targetRef"] == {"kind": "Pod", "namespace": "default", "name": "a", "uid": "a"}
    # The same pods in another order change nothing.
    assert endpoints.wanted(service(), found[::-1], made) is None


def test_what_ended_goes_or_has_no_address_is_no_endpoint() -> None:
    going = pod("a", "10.0.0.1")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = [going, pod("b", "10.0.0.2", phase="Succeeded"), pod("c", "fd00::1")]
    made = endpoints.wanted(service(), found, None)
    assert made is not None
    assert made["subsets"] == []
    patient = endpoints.wanted(service(publishNotReadyAddresses=True), found, None)
    assert patient is not None
    assert addresses(patient["subsets"][0]) == ["10.0.0.1"]


def test_a_headless_service_says_so_and_may_have_no_ports() -> None:
    made = endpoints.wanted(service(clusterIP="None", ports=[]), [pod("a", "10.0.0.1")], None)
    assert made is not None
    assert made["metadata"]["labels"][endpoint_slices.HEADLESS] == ""
    assert "ports" not in made["subsets"][0]


def test_a_thousand_addresses_are_enough_and_the_ready_ones_first() -> None:
    ready = [pod(f"r{n}", f"10.0.{n // 250}.{n % 250 + 1}") for n in range(900)]
    unready = [pod(f"u{n}", f"10.1.{n // 250}.{n % 250 + 1}", ready=False) for n in range(200)]
    made = endpoints.wanted(service(), [*unready, *ready], None)
    assert made is not None
    (subset,) = made["subsets"]
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (900, 100)
    assert made["metadata"]["annotations"] == {endpoints.OVER_CAPACITY: "truncated"}


def by_hand(**metadata: Any) -> Object:
    return {
        "metadata": {"name": "s", "namespace": "default", "uid": "e", "annotations": {"a": "b"}, **metadata},
        "subsets": [
            {
                "addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1", "hostname": "six"}],
                "notReadyAddresses": [{"ip": "10.0.0.2"}],
                "ports": [{"name": "http", "port": 80}],
            }
        ],
    }


def test_each_family_of_a_subset_is_mirrored_by_one_slice() -> None:
    plan = endpoints.mirror(by_hand(), [])
    four, six = plan.create
    assert (four["addressType"], six["addressType"]) == ("IPv4", "IPv6")
    assert four["endpoints"] == [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
    ]
    assert six["endpoints"] == [{"addresses": ["fd00::1"], "conditions": {"ready": True}, "hostname": "six"}]
    assert four["metadata"]["annotations"] == {"a": "b"}
    assert four["metadata"]["labels"] == {
        endpoint_slices.SERVICE_NAME: "s",
        endpoint_slices.MANAGED_BY: endpoints.MIRROR,
    }
    for number, found in enumerate((four, six)):
        found["metadata"]["name"] = f"s-{number}"
    assert endpoints.mirror(by_hand(), [four, six]) == endpoint_slices.Plan((), (), ())
    changed = by_hand()
    changed["subsets"][0]["addresses"] = [{"ip": "10.0.0.7"}]
    plan = endpoints.mirror(changed, [four, six])
    assert [found["metadata"]["name"] for found in plan.update] == ["s-0"]
    assert [found["metadata"]["name"] for found in plan.delete] == ["s-1"]


@pytest.mark.parametrize(
    ("found", "owner", "is_mirrored"),
    [
        (by_hand(), service(), True),
        (by_hand(labels={endpoints.SKIP_MIRROR: "true"}), service(), False),
        (by_hand(annotations={endpoints.LEADER: "x"}), service(), False),
        (by_hand(), service(selector={"a": "b"}), False),
        (by_hand(), None, False),
        (None, service(), False),
    ],
)
def test_only_what_somebody_made_for_a_service_is_mirrored(
    found: Object | None, owner: Object | None, is_mirrored: bool
) -> None:
    assert endpoints.is_mirrored(found, owner) is is_mirrored
