"""What a namespace's labels ask for."""

from __future__ import annotations

import pytest

from keelson.api.pod_security.policies import PREFIX, Mode, Policy, compare, policy_of


def labels(**stated: str) -> dict[str, str]:
    return {PREFIX + name.replace("_", "-"): value for name, value in stated.items()}


@pytest.mark.parametrize(
    ("stated", "policy"),
    [
        ({}, Policy()),
        (labels(enforce="baseline"), Policy(Mode("baseline"), Mode(), Mode("baseline"))),
        (
            labels(enforce="restricted", enforce_version="v1.30"),
            Policy(Mode("restricted", "v1.30"), Mode(), Mode("restricted", "v1.30")),
        ),
        (
            labels(enforce="restricted", warn="privileged", audit="baseline"),
            Policy(Mode("restricted"), Mode("baseline"), Mode("privileged")),
        ),
        (
            labels(enforce="baseline", enforce_version="v1.30", warn_version="v1.31"),
            Policy(Mode("baseline", "v1.30"), Mode(), Mode("baseline", "v1.31")),
        ),
    ],
)
def test_labels(stated: dict[str, str], policy: Policy) -> None:
    assert policy_of(stated, Policy()) == (policy, [])


def test_defaults_hold_where_labels_are_silent() -> None:
    defaults = Policy(Mode("restricted"), Mode("restricted"), Mode("restricted"))
    found, _ = policy_of(labels(enforce="privileged"), defaults)
    assert found == Policy(Mode("privileged"), Mode("restricted"), Mode("restricted"))


def test_what_can_not_be_read_is_enforced_as_the_strictest() -> None:
    found, causes = policy_of(labels(enforce="sloppy", warn="loud", audit_version="1.2"), Policy())
    assert found == Policy(Mode("restricted"), Mode(), Mode())
    assert [cause["message"] for cause in causes] == [
        'Invalid value: "sloppy": must be one of privileged, baseline, restricted',
        'Invalid value: "1.2": must be "latest" or "v1.x"',
        'Invalid value: "loud": must be one of privileged, baseline, restricted',
    ]
    assert causes[0]["field"] == "metadata.labels[pod-security.kubernetes.io/enforce]"


def test_levels_are_ordered() -> None:
    assert compare("restricted", "baseline") > 0 > compare("privileged", "baseline")
