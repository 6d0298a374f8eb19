"""Rules of controllers that are too small for a decider of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelson.api import meta
from keelson.kube_controller_manager.controllers import certificate_cleaner, node_ttl, ttl_after_finished

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def ago(**past: float) -> str:
    return meta.format_time(NOW - timedelta(**past))


@pytest.mark.parametrize(
    ("created", "condition", "certificate", "over"),
    [
        (ago(hours=23), None, "", False),
        (ago(hours=25), None, "", True),
        (ago(hours=25), ("Denied", ago(minutes=59)), "", False),
        (ago(hours=25), ("Denied", ago(minutes=61)), "", True),
        (ago(hours=25), ("Failed", ago(minutes=61)), "", True),
        (ago(hours=25), ("Approved", ago(minutes=61)), "", False),
        (ago(hours=25), ("Approved", ago(hours=25)), "", True),
        (ago(hours=25), ("Approved", ago(minutes=61)), "bm8gY2VydGlmaWNhdGU=", True),
        (ago(hours=25), ("Approved", ago(minutes=59)), "bm8gY2VydGlmaWNhdGU=", False),
    ],
)
def test_signing_requests_go_when_they_are_over(
    created: str, condition: tuple[str, str] | None, certificate: str, over: bool
) -> None:
    status: dict[str, Any] = {"certificate": certificate}
    if condition is not None:
        status["conditions"] = [{"type": condition[0], "status": "True", "lastUpdateTime": condition[1]}]
    request = {"metadata": {"creationTimestamp": created}, "status": status}
    assert certificate_cleaner.is_over(request, NOW) is over


def test_the_cluster_must_grow_or_shrink_clearly_for_another_step() -> None:
    assert [node_ttl.step_of(size, 0) for size in (0, 100, 101, 600, 5000)] == [0, 0, 1, 2, 4]
    assert [node_ttl.step_of(size, 1) for size in (95, 89, 500, 501)] == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("seconds", "condition", "deleted", "expiry"),
    [
        (None, "Complete", False, None),
        (10, "", False, None),
        (10, "Complete", True, None),
        (10, "Complete", False, NOW + timedelta(seconds=10)),
        (0, "Failed", False, NOW),
    ],
)
def test_a_finished_job_lives_as_long_as_it_states(
    seconds: int | None, condition: str, deleted: bool, expiry: datetime | None
) -> None:
    ended = [{"type": condition, "status": "True", "lastTransitionTime": meta.format_time(NOW)}] if condition else []
    metadata = {"deletionTimestamp": meta.format_time(NOW)} if deleted else {}
    job = {"metadata": metadata, "spec": {"ttlSecondsAfterFinished": seconds}, "status": {"conditions": ended}}
    assert ttl_after_finished.expiry(job) == expiry
