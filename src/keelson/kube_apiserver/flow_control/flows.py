"""Which flow a request belongs to: the configuration objects made into levels, and verdicts remembered.

A request is classified by who asks and what for, never by what it carries, so one dictionary answers for all that are
alike; it is emptied when a FlowSchema or a PriorityLevelConfiguration changes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from time import monotonic

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.recents import Recent
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.registry.parameters import flag
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from . import bootstrap_objects
from .bootstrap_objects import CATCH_ALL, EXEMPT
from .decisions import concurrency, matching
from .decisions.concurrency import Claim
from .drops import Drops
from .levels import Flow, Level, Tally, Ticket

log = logging.getLogger(__name__)

_REMEMBERED = 20_000
_OBJECTS_PER_SEAT = 100
_MOST_DIGITS = 18
# No request waits longer than this, whatever its timeout is.
_LONGEST_WAIT = 60.0


class Flows:
    """The classifier and its levels. `sizes` tells how many objects a resource has (-1 where that is not known)."""

    def __init__(self, total: int, request_timeout: float) -> None:
        self.total = total
        self._wait = min(request_timeout / 4 or _LONGEST_WAIT, _LONGEST_WAIT)
        self.levels: dict[str, Level] = {}
        self._schemas: list[Object] = []
        self._known: Recent[object, Flow] = Recent(_REMEMBERED)
        self._drops: dict[str, Drops] = {}
        self._whole = 0
        # Raised by every configuration: what was found before it may be another flow now.
        self.generation = 0
        self.digest([], [])

    # --- configuration

    def digest(self, levels: Sequence[Object], schemas: Sequence[Object]) -> None:
        """Take these objects for the whole configuration; the mandatory ones are imagined where they lack."""
        specs: dict[str, Object] = {}
        uids: dict[str, str] = {}
        for obj in [*levels, *bootstrap_objects.mandatory_levels()]:
            name, spec = meta.name(obj), obj.get("spec") or {}
            if name in specs or (spec.get("type") == "Exempt") != (name == EXEMPT):
                continue
            specs[name], uids[name] = spec, meta.uid(obj)
        limits = concurrency.nominal(specs, self.total)
        self._whole = sum(each.nominal for each in limits.values())
        now = monotonic()
        # A level that is gone serves those who wait in it, with the seats it had; nobody else finds it.
        self.levels = {name: self.levels.get(name) or Level(name, now) for name in specs}
        for name, level in self.levels.items():
            level.configure(uids[name], specs[name], limits[name])
        self._schemas = self._usable(schemas)
        self._specs = specs
        self._known.clear()
        self.generation += 1
        self.lend(now, restart=False)

    def _usable(self, schemas: Sequence[Object]) -> list[Object]:
        usable = [each for each in schemas if _level_of(each) in self.levels]
        usable.sort(key=lambda each: (each["spec"].get("matchingPrecedence") or 0, meta.name(each)))
        names = {meta.name(each) for each in usable}
        exempt, catch_all = bootstrap_objects.mandatory_schemas()
        if EXEMPT not in names:
            usable.insert(0, exempt)
        if CATCH_ALL not in names:
            usable.append(catch_all)
        return usable

    def lend(self, now: float, *, restart: bool = True) -> None:
        """Divide the seats anew by what was asked for lately."""
        limited: list[tuple[Level, Claim]] = []
        exempt = 0
        for level in self.levels.values():
            if restart:
                level.demand.restart(now)
            if level.exempt:
                exempt += max(level.limits.least, level.demand.last_high)
            else:
                limited.append((level, Claim(level.limits, level.demand.last_high, level.demand.smoothed)))
        shares = concurrency.lent([claim for _, claim in limited], self._whole, exempt)
        for (level, claim), seats in zip(limited, shares, strict=True):
            level.target = claim.target
            level.set_limit(seats)

    # --- requests

    def of(self, user: User, info: RequestInfo) -> Flow:
        """The flow of a request."""
        key: object
        if info.is_resource:
            key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace)
        else:
            key = (user.name, user.groups, info.verb, info.path)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._classify(user, info)
        return found

    def _classify(self, user: User, info: RequestInfo) -> Flow:
        # Nobody is outside of both groups of catch-all; where somebody were, it is his all the same.
        schema = next((each for each in self._schemas if matching.matches(each, user, info)), None)
        if schema is None:
            schema = next(each for each in self._schemas if meta.name(each) == CATCH_ALL)
        name = meta.name(schema)
        level = self.levels[_level_of(schema)]
        queuing = _queuing(self._specs[level.name])
        hand: Sequence[int] = ()
        if queuing is not None:
            flow = matching.distinguisher(schema, user, info)
            hand = matching.hand(name, flow, int(queuing.get("queues") or 64), int(queuing.get("handSize") or 8))
        head = (
            f"X-Kubernetes-Pf-Flowschema-Uid: {meta.uid(schema)}\r\nX-Kubernetes-Pf-Prioritylevel-Uid: {level.uid}\r\n"
        )
        return Flow(level, level.tally(name), hand, head.encode())

    async def wait(self, flow: Flow, seats: int) -> Ticket:
        """Wait for seats that were not there at once. Raises RejectedError."""
        return await flow.level.wait(flow, seats, self._wait)

    def refusal(self, flow: Flow) -> Response:
        """429, with when to come back."""
        drops = self._drops.setdefault(flow.level.name, Drops())
        headers = (
            ("Retry-After", str(drops.count(int(monotonic())))),
            ("X-Content-Type-Options", "nosniff"),
        )
        body = b"Too many requests, please try again later.\n"
        return Response(429, body, "text/plain; charset=utf-8", headers)


def seats(request: Request, info: RequestInfo, flow: Flow, count: int) -> int:
    """How wide a list is, or a watch that begins with one, of a resource with `count` objects."""
    if count <= _OBJECTS_PER_SEAT or info.name:
        return 1
    if info.verb == "watch":
        asks = flag(request, "sendInitialEvents")
        if not asks and request.parameter("resourceVersion") not in ("", "0"):
            return 1
    limit = request.parameter("limit")
    if limit.isdecimal() and len(limit) <= _MOST_DIGITS and 0 < int(limit) < count:
        count = int(limit)
    return min(math.ceil(count / _OBJECTS_PER_SEAT), flow.level.most_seats)


def _level_of(schema: Object) -> str:
    return str(((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name") or "")


def _queuing(spec: Mapping[str, object]) -> Object | None:
    limited = spec.get("limited")
    if not isinstance(limited, dict):
        return None
    found: Object | None = (limited.get("limitResponse") or {}).get("queuing")
    return found


__all__ = ["Flow", "Flows", "Tally", "seats"]
