"""The election's rule and its fence; that two processes never lead at once is tried against a real server."""

from datetime import UTC, datetime

import pytest

from keelson.client.leader_elections import Timings, claim, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _lease(holder: str | None, duration: int = 15) -> dict[str, object]:
    return {"metadata": {"name": "l"}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": duration}}


@pytest.mark.parametrize(
    ("lease", "unchanged_for", "action"),
    [
        (None, 0, "create"),
        (_lease("me"), 100, "renew"),
        (_lease("you"), 14.9, "wait"),
        (_lease("you"), 15, "take"),
        (_lease(""), 0, "take"),
        (_lease(None), 0, "take"),
    ],
)
def test_what_a_candidate_does(lease: dict[str, object] | None, unchanged_for: float, action: str) -> None:
    assert decide(lease, identity="me", unchanged_for=unchanged_for) == action


def test_a_takeover_is_a_transition_and_a_renewal_is_none() -> None:
    taken = claim(_lease("you"), identity="me", now=NOW, duration=15)
    assert taken["spec"]["leaseTransitions"] == 1
    assert taken["spec"]["acquireTime"] == "2026-01-01T00:00:00.000000Z"
    renewed = claim(taken, identity="me", now=NOW, duration=15)
    assert renewed["spec"]["leaseTransitions"] == 1


def test_timings_that_could_lead_to_two_leaders_are_refused() -> None:
    with pytest.raises(ValueError, match="lease duration > renew deadline"):
        Timings(lease_duration=10, renew_deadline=10)
