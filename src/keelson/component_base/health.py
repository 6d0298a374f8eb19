"""Health endpoints: named checks, each asked alone or all at once (/healthz, /livez, /readyz and their ?verbose)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import Counter, Gauge

from . import metrics

_STATUS = Gauge(
    "kubernetes_healthcheck",
    "This metric records the result of a single healthcheck.",
    ("type", "name"),
    registry=metrics.INDICATORS,
)
_RESULTS = Counter(
    "kubernetes_healthchecks_total",
    "This metric records the results of all healthcheck.",
    ("type", "name", "status"),
    registry=metrics.INDICATORS,
)

# A check returns None where all is well and the reason where it is not.
Check = Callable[[], "Awaitable[str | None] | str | None"]


class Checks:
    """The checks of one endpoint, in the order in which they were added."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {"ping": lambda: None}

    def add(self, name: str, check: Check) -> None:
        """Add a check; its name becomes a path below the endpoint."""
        self._checks[name] = check

    async def report(
        self, endpoint: str, *, only: str = "", excluded: frozenset[str] = frozenset(), verbose: bool = False
    ) -> tuple[int, str]:
        """(HTTP status, text): 200 "ok", or 500 with a line a check. 404 where `only` names no check."""
        if only and only not in self._checks:
            return 404, f'no check is named "{only}"\n'
        lines: list[str] = []
        healthy = True
        for name, check in self._checks.items():
            if (only and name != only) or name in excluded:
                continue
            reason = await _ask(check)
            _STATUS.labels(endpoint, name).set(reason is None)
            _RESULTS.labels(endpoint, name, "success" if reason is None else "error").inc()
            if reason is None:
                lines.append(f"[+]{name} ok")
            else:
                healthy = False
                # Reasons may name addresses and are for the log; the endpoint tells only which check failed.
                lines.append(f"[-]{name} failed: reason withheld")
        lines += [f"[+]{name} excluded: ok" for name in self._checks if name in excluded]
        if not healthy:
            return 500, "\n".join([*lines, f"{endpoint} check failed", ""])
        return 200, "\n".join([*lines, f"{endpoint} check passed", ""]) if verbose else "ok"

    async def failures(self) -> dict[str, str]:
        """The checks that fail now, with their reasons."""
        asked = {name: await _ask(check) for name, check in self._checks.items()}
        return {name: reason for name, reason in asked.items() if reason is not None}


async def _ask(check: Check) -> str | None:
    answer = check()
    return answer if answer is None or isinstance(answer, str) else await answer
