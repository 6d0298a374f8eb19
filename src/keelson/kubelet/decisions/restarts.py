"""When a container that ended is started again, and how long that waits.

Rules: "Container restart policy" and "Container restarts" of the Pod Lifecycle documentation, KEP-5307 (rules by exit
code), KEP-753 (sidecars). The delay doubles from 10 s to 300 s and begins anew after ten minutes without a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keelson.api.meta import Object

from .observations import Container

INITIAL, MAXIMUM = 10.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """What is remembered of one container name: the wait in seconds and when it was last counted up."""

    seconds: float = INITIAL
    updated: datetime

    def _is_over(self, moment: datetime, maximum: float) -> bool:
        return moment - self.updated > timedelta(seconds=2 * maximum)


def wait(delay: Delay | None, *, finished: datetime, now: datetime, maximum: float = MAXIMUM) -> float:
    """Seconds until a container that finished then may start; 0 where it may now."""
    if delay is None or delay._is_over(finished, maximum):  # noqa: SLF001 - the type's own module
        return 0.0
    return max(0.0, delay.seconds - (now - finished).total_seconds())


def counted(delay: Delay | None, *, finished: datetime, now: datetime, maximum: float = MAXIMUM) -> Delay:
    """What to remember once the container is started again."""
    if delay is None or delay._is_over(finished, maximum):  # noqa: SLF001 - the type's own module
        return Delay(seconds=min(INITIAL, maximum), updated=now)
    return Delay(seconds=min(delay.seconds * 2, maximum), updated=now)


def policy(pod: Object, container: Mapping[str, Any]) -> str:
    """Always, OnFailure or Never: the container's own policy, else the pod's."""
    return str(container.get("restartPolicy") or pod["spec"].get("restartPolicy") or "Always")


def after_exit(pod: Object, container: Mapping[str, Any], exit_code: int) -> bool:
    """Whether a container that ended with this code is started again."""
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or [])
        if rule.get("action") == "Restart" and listed == (codes.get("operator") == "In"):
            return True
    chosen = policy(pod, container)
    return chosen == "Always" or (chosen == "OnFailure" and exit_code != 0)


def wanted(pod: Object, container: Mapping[str, Any], latest: Container | None) -> bool:
    """Whether a regular container is to be started, by its newest instance."""
    if latest is None or latest.state in {"created", "unknown"}:
        return True
    if latest.state == "running":
        return False
    return after_exit(pod, container, latest.exit_code)
