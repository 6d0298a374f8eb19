"""What Go never leaves out: written where clients see it, and owned by nobody."""

from typing import Any

from keelson.api import defaults, zeros
from keelson.api.schemas import Kind


def test_an_empty_object_has_structs_and_scalars_that_are_no_pointers() -> None:
    assert zeros.of("v1", "PersistentVolumeClaim") == {"metadata": {}, "spec": {"resources": {}}, "status": {}}
    assert zeros.of("autoscaling/v2", "HorizontalPodAutoscaler")["status"] == {
        "desiredReplicas": 0,
        "currentMetrics": None,
    }
    # The template of a replication controller is a pointer, a deployment's is none.
    assert "template" not in zeros.of("v1", "ReplicationController")["spec"]
    assert zeros.of("apps/v1", "Deployment")["spec"]["template"] == {"metadata": {}, "spec": {}}


def test_absence_is_filled_and_what_is_said_stays() -> None:
    event: dict[str, Any] = {"source": {"component": "c"}, "eventTime": "2026-01-01T00:00:00.000000Z"}
    defaults.apply(Kind("v1", "Event"), event)
    assert (event["source"], event["eventTime"]) == ({"component": "c"}, "2026-01-01T00:00:00.000000Z")
    assert event["lastTimestamp"] is None
    role: dict[str, Any] = {"rules": []}
    defaults.apply(Kind("rbac.authorization.k8s.io/v1", "ClusterRole"), role)
    assert role == {"rules": None}


def test_what_is_filled_in_is_shared_by_no_two_objects() -> None:
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    for each in (first, second):
        defaults.apply(Kind("v1", "Node"), each)
    first["status"]["nodeInfo"]["machineID"] = "a"
    assert second["status"]["nodeInfo"]["machineID"] == ""
    assert zeros.of("v1", "Node")["status"]["nodeInfo"]["machineID"] == ""
