"""The state of one probe of one container instance: results in a row, thresholds, and when to ask again.

Rules: "Configure Liveness, Readiness and Startup Probes": thresholds count consecutive results; readiness and startup
begin as not yet passed, liveness as passed; liveness and readiness wait for the startup probe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .pod_actions import ProbeVerdict

ProbeKind = Literal["liveness", "readiness", "startup"]
KINDS: tuple[ProbeKind, ...] = ("liveness", "readiness", "startup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A probe's timing: seconds and counts, with the API's defaults."""

    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3


def settings(probe: Mapping[str, Any]) -> Settings:
    """The probe's timing as its spec states it."""
    return Settings(
        initial_delay=float(probe.get("initialDelaySeconds") or 0),
        period=float(probe.get("periodSeconds") or 10),
        timeout=float(probe.get("timeoutSeconds") or 1),
        success_threshold=int(probe.get("successThreshold") or 1),
        failure_threshold=int(probe.get("failureThreshold") or 3),
    )


@dataclass(frozen=True, slots=True)
class State:
    """Invariant: `row` counts the newest results that agree with `last`."""

    verdict: ProbeVerdict
    last: bool | None = None
    row: int = 0
    # A failed liveness or startup probe asks no more: the instance is about to be killed.
    on_hold: bool = False


def initial(kind: ProbeKind) -> State:
    """Before the first result."""
    verdicts: dict[ProbeKind, ProbeVerdict] = {"liveness": "success", "readiness": "failure", "startup": "unknown"}
    return State(verdicts[kind])


def after(state: State, kind: ProbeKind, passed: bool, timing: Settings) -> State:
    """The state with one more result taken in."""
    row = state.row + 1 if state.last is passed else 1
    moved = replace(state, last=passed, row=row)
    if row < (timing.success_threshold if passed else timing.failure_threshold):
        return moved
    held = kind in {"liveness", "startup"} and not passed
    return replace(moved, verdict="success" if passed else "failure", on_hold=held)


def asks(state: State, kind: ProbeKind, *, running_for: float, timing: Settings, started: bool) -> bool:
    """Whether to ask now, an instance having run for so many seconds; `started`: its startup probe has passed."""
    if state.on_hold or running_for < timing.initial_delay:
        return False
    return not started if kind == "startup" else started
