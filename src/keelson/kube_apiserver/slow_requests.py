"""Why a request took long, in the log: what it did step by step, as upstream's traces tell it (k8s.io/utils/trace).

Every request on the whole road notes when it was done with what (`Request.steps`); somebody looks at that only where it
took half a second or more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from .serving.messages import Request, Step
from .serving.request_infos import RequestInfo
from .stalls import Stalls
from .tracing.requests import operation_name

log = logging.getLogger(__name__)

SECONDS = 0.5
# Where everything is slow, the log must not be one of the reasons.
_MOST_A_SECOND = 10
_MOST_AGENT = 200


class SlowRequests:
    """Tells of requests that took `SECONDS` or more, a few of them in each second. `clock` only ever goes forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.stalls = Stalls()
        self._second = 0
        self._told = 0
        self._left_out = 0
        self._number = 0

    def _may_tell(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._told = second, 0
        if self._told >= _MOST_A_SECOND:
            self._left_out += 1
            return False
        self._told += 1
        return True

    def tell(self, request: Request, info: RequestInfo, code: int, seconds: float) -> None:
        """A request was answered with this code after so many seconds."""
        if not self._may_tell():
            return
        if self._left_out:
            log.info("%d more slow requests are not told of", self._left_out)
            self._left_out = 0
        self._number += 1
        began = datetime.now(UTC) - timedelta(seconds=seconds)
        about = f'"{operation_name(info, request.method)}" {_described(request, info, code)}'
        lines = [
            f"{about} ({began:%d-%b-%Y} {_shown(began)}) (total time: {seconds * 1000:.0f}ms):",
            *(
                f'---"{name}" {spent * 1000:.0f}ms ({_shown(ended)})'
                for name, spent, ended in _notable(request.steps, request.began, seconds, began)
            ),
        ]
        if (still := self.stalls.within(request.began, request.began + seconds)) > 0:
            lines.append(f"the event loop stood still for {still * 1000:.0f}ms of it")
        lines.append(f"[{seconds * 1000:.0f}ms] END")
        log.info("%s", "\n".join(f"Trace[{self._number}]: {line}" for line in lines))


def _shown(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _described(request: Request, info: RequestInfo, code: int) -> str:
    """The request in upstream's fields, and the code of its answer."""
    fields = {
        "accept": request.headers.get("accept", ""),
        "audit-id": request.headers.get("audit-id", ""),
        "client": request.remote,
        "api-group": info.group,
        "api-version": info.version,
        "name": info.name,
        "subresource": info.subresource,
        "namespace": info.namespace,
        "resource": info.resource,
        "url": request.target,
        "user-agent": request.headers.get("user-agent", "")[:_MOST_AGENT],
        "verb": info.verb.upper(),
        "code": str(code),
    }
    # What a client has written must not end a line of the log.
    return ",".join(f"{name}:{value}" for name, value in fields.items()).encode("unicode_escape").decode("ascii")


def _notable(
    steps: Sequence[Step], began: float, seconds: float, moment: datetime
) -> Iterator[tuple[str, float, datetime]]:
    """(name, seconds, end) of what took more than its share of the time that is no reason for a word."""
    least = SECONDS / (len(steps) + 2)
    before = began
    for name, done in (*steps, ("Answer made", began + seconds)):
        if done - before >= least:
            yield name, done - before, moment + timedelta(seconds=done - began)
        before = done
