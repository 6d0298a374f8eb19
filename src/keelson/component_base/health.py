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
        """(HTTP status, text): 200 "ok", or 500 with a line a check. 404 where `only` names no check.

        One check alone is for those who may ask for it by name, and tells its reason; all of them together are public.
        """
        if only:
            return await self._one(only)
        lines: list[str] = []
        healthy = True
        for name, check in self._checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            reason = await _ask(check)
            _STATUS.labels(endpoint, name).set(reason is None)
            _RESULTS.labels(endpoint, name, "success" if reason is None else "error").inc()
            if reason is None:
                lines.append(f"[+]{name} ok")
            else:
                healthy = False
                lines.append(f"[-]{name} failed: reason withheld")
        if unknown := sorted(excluded - self._checks.keys()):
            named = ",".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {named}")
        if not healthy:
            return 500, "\n".join([*lines, f"{endpoint} check failed", ""])
        return 200, "\n".join([*lines, f"{endpoint} check passed", ""]) if verbose else "ok"

    async def _one(self, name: str) -> tuple[int, str]:
        check = self._checks.get(name)
        if check is None:
            return 404, "404 page not found\n"
        reason = await _ask(check)
        return (200, "ok") if reason is None else (500, f"internal server error: {reason}\n")

    async def failures(self) -> dict[str, str]:
        """The checks that fail now, with their reasons."""
        asked = {name: await _ask(check) for name, check in self._checks.items()}
        return {name: reason for name, reason in asked.items() if reason is not None}


async def _ask(check: Check) -> str | None:
    answer = check()
    return answer if answer is None or isinstance(answer, str) else await answer
