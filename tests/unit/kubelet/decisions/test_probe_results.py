from __future__ import annotations

import pytest

from keelson.kubelet.decisions.probe_results import ProbeKind, Settings, after, asks, initial, settings

_TIMING = Settings(success_threshold=2, failure_threshold=3)


@pytest.mark.parametrize(
    ("kind", "results", "verdicts"),
    [
        ("readiness", "++--+---", "fssssssf"),
        ("liveness", "-+--+---", "sssssssf"),
        ("startup", "--+-+", "uuuuu"),
        ("startup", "---", "uuf"),
    ],
)
def test_thresholds_count_results_in_a_row(kind: ProbeKind, results: str, verdicts: str) -> None:
    state, found = initial(kind), ""
    for result in results:
        state = after(state, kind, result == "+", _TIMING)
        found += state.verdict[0]
    assert found == verdicts


def test_a_failed_liveness_probe_asks_no_more_but_readiness_goes_on() -> None:
    timing = Settings(failure_threshold=1)
    for kind, held in (("liveness", True), ("startup", True), ("readiness", False)):
        state = after(initial(kind), kind, False, timing)  # type: ignore[arg-type]
        assert state.on_hold is held


def test_when_to_ask() -> None:
    timing = Settings(initial_delay=5)
    state = initial("liveness")
    assert not asks(state, "liveness", running_for=4, timing=timing, started=True)
    assert asks(state, "liveness", running_for=5, timing=timing, started=True)
    assert not asks(state, "liveness", running_for=9, timing=timing, started=False)
    assert asks(initial("startup"), "startup", running_for=9, timing=timing, started=False)
    assert not asks(initial("startup"), "startup", running_for=9, timing=timing, started=True)


def test_defaults_are_the_apis() -> None:
    assert settings({}) == Settings(initial_delay=0, period=10, timeout=1, success_threshold=1, failure_threshold=3)
