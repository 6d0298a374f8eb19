"""What a namespace that is being deleted says of itself."""

from datetime import UTC, datetime

from keelson.kube_controller_manager.decisions import namespaces
from keelson.kube_controller_manager.decisions.namespaces import Round

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC)


def test_every_condition_is_there_and_tells_what_is_left() -> None:
    met = Round(remaining={"pods": 1, "configmaps": 2}, finalizers={"example.com/x": 1}, errors=["b", "a"])
    found = {each["type"]: each for each in namespaces.conditions([], met, NOW)}
    assert {kind: each["status"] for kind, each in found.items()} == {
        "NamespaceDeletionDiscoveryFailure": "False",
        "NamespaceDeletionGroupVersionParsingFailure": "False",
        "NamespaceDeletionContentFailure": "True",
        "NamespaceContentRemaining": "True",
        "NamespaceFinalizersRemaining": "True",
    }
    assert found["NamespaceContentRemaining"]["message"] == (
        "Some resources are remaining: configmaps has 2 resource instances, pods has 1 resource instances"
    )
    assert (
        found["NamespaceDeletionContentFailure"]["message"] == "Failed to delete all resource types, 2 remaining: a, b"
    )
    assert not met.is_last


def test_a_complaint_is_taken_back_when_there_is_no_more_reason_for_it() -> None:
    before = namespaces.conditions([], Round(failed_groups=["metrics.k8s.io/v1"]), NOW)
    assert before[0]["message"] == "Discovery failed for some groups, 1 failing: metrics.k8s.io/v1"
    after = namespaces.conditions(before, Round(), LATER)
    assert {each["status"] for each in after} == {"False"}
    assert after[0]["lastTransitionTime"] == "2026-01-02T03:05:05Z"
    assert after[1]["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert Round().is_last
