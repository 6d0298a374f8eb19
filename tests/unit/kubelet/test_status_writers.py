"""The status that the kubelet writes: its own conditions over the API's, and everybody else's as they are."""

from keelson.kubelet import status_writers


def test_conditions_of_others_stay() -> None:
    """Above all DisruptionTarget: an eviction writes it while the kubelet's own copy of the pod is older."""
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    current = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}, disrupted]}}
    mine = {"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]}
    assert status_writers._merged(current, mine) == {
        "phase": "Failed",
        "conditions": [{"type": "Ready", "status": "False"}, disrupted],
    }
