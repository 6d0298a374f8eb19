"""The short road of the commonest request: a GET of one object, asked again on a connection that asked alike before.

The first such request takes the whole chain. What the chain decided that does not hang on the object's name (who asks,
whether he may read any object of this resource and namespace, which flow it is, how the answer is encoded) is kept as a
route of the connection; the next request that differs in nothing but the name is answered by the route, in a batch with
all others that wait for the same question to the store. No task is made for it and no header is parsed.

A route is left as soon as anything it rests on may have changed, so a road not taken costs time and never an answer:
the policy, flows and catalogue by their generations, the credential by `Credential.holds`. Everything that would treat
a GET by its name, or note each one, has to switch the road off (`Reads.off`), or to be told here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from keelson.api import errors
from keelson.storage import errors as storage_errors

from .authentication.credentials import Credential
from .authorization.attempts import Decisions
from .authorization.unions import Union
from .caches.collections import Collection
from .caches.feeds import Feed
from .flow_control.flows import Flows
from .flow_control.levels import Level, Tally
from .registry.catalogues import Catalogue, Served
from .registry.contexts import User
from .registry.objects import FRESH_SECONDS, translated
from .registry.representations import opening
from .serving import request_infos
from .serving.connections import Connection
from .serving.heads import date
from .serving.messages import Request, Response
from .serving.negotiation import DEFAULT, negotiate, wants_pretty
from .serving.request_infos import RequestInfo
from .slow_requests import SECONDS as SLOW_SECONDS
from .slow_requests import SlowRequests
from .tracing.spans import Tracer

if TYPE_CHECKING:
    from .chains import Limits

log = logging.getLogger(__name__)

# Larger answers may have to be compressed, or sent in slices: the whole road knows how.
_MOST_BODY_BYTES = 100_000
# What a client may vary from request to request on one connection before its routes are forgotten.
_MOST_ROUTES = 256
# A name that no object has and no rule can name.
_ANY = "\0"


class Meters(Protocol):
    """Where requests of one kind are counted."""

    def note(self, code: int, seconds: float, size: int) -> None:
        """Count one, whose body had so many bytes."""
        ...


class Route:
    """What was decided of all GETs of one resource and namespace, on one connection."""

    __slots__ = (
        "collection",
        "credential",
        "flow",
        "generations",
        "granted",
        "head",
        "key",
        "level",
        "meters",
        "opening",
        "served",
        "tally",
    )

    def __init__(
        self,
        served: Served,
        collection: Collection,
        key: str,
        credential: Credential,
        granted: Decisions,
        level: Level,
        tally: Tally,
        flow: bytes,
        meters: Meters,
        generations: tuple[int, int, int],
    ) -> None:
        """`key` is what all keys begin with, `granted` whose decision lets the user in, `flow` the header lines that
        name the flow.
        """
        self.served = served
        self.collection = collection
        self.key = key
        self.credential = credential
        self.granted = granted
        self.level = level
        self.tally = tally
        self.flow = flow
        self.head = flow + b"Cache-Control: no-cache, private\r\nContent-Type: application/json\r\n"
        self.meters = meters
        self.generations = generations
        self.opening = opening(served)


class _Read:
    """One request under way: called with the revision that its answer must be as new as."""

    __slots__ = ("began", "connection", "key", "reads", "route", "target")

    def __init__(self, reads: Reads, connection: Connection, route: Route, key: str, target: bytes) -> None:
        self.reads = reads
        self.connection = connection
        self.route = route
        self.key = key
        self.target = target
        self.began = perf_counter()

    def __call__(self, revision: int, error: storage_errors.StorageError | None) -> None:
        if error is not None:
            self.refuse(translated(error))
        elif self.reads.feed.holds(self.route.served.prefix, revision):
            self.answer()
        else:
            self.reads.postpone(self, revision)

    def answer(self) -> None:
        route = self.route
        item = route.collection.items.get(self.key)
        if item is None:
            resource = route.served.resource
            name = self.key[len(route.key) :]
            self.refuse(errors.not_found(resource.plural, name, group=resource.group))
            return
        body = item.body
        size = len(route.opening) + len(body) + 1
        length = b"Content-Length: %d\r\n\r\n" % size
        parts = (b"HTTP/1.1 200 OK\r\n", date(), route.head, length, route.opening, body, b"}")
        self._end(200, b"".join(parts), size)

    def refuse(self, error: errors.StatusError) -> None:
        response = self.reads.status_response(error)
        self._end(response.status, self.connection.rendered(response, self.route.flow), sum(map(len, response.parts)))

    def _end(self, code: int, data: bytes, size: int) -> None:
        route = self.route
        route.level.leave(route.tally, 1)
        self.reads.limits.leave("readOnly")
        self.connection.answer_quick(data)
        seconds = perf_counter() - self.began
        route.tally.ran.note(seconds)
        route.meters.note(code, seconds, size)
        if seconds >= SLOW_SECONDS:
            self.reads.tell(self, code, seconds)


class Reads:
    """Every connection's routes. One of them for the whole server."""

    def __init__(
        self,
        feed: Feed,
        catalogue: Catalogue,
        authorizer: Union,
        flows: Flows | None,
        limits: Limits,
        status_response: Callable[[errors.StatusError], Response],
    ) -> None:
        self.feed = feed
        self.limits = limits
        self.status_response = status_response
        self.slow = SlowRequests()
        self._catalogue = catalogue
        self._authorizer = authorizer
        self._flows = flows
        # What has no generation of its own raises this one.
        self.generation = 0
        # Resources of which a GET is not what this road takes it for.
        self.special: Mapping[str, object] = {}
        # Who serves a group and version that is another server's.
        self.remote: Callable[[str, str], object | None] = lambda _group, _version: None
        # Switched on where every request must be seen whole.
        self.off = False
        # Which requests are traced: they must take the whole road.
        self.tracer: Tracer | None = None
        self._late: dict[tuple[int, str], list[_Read]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def forget(self, _changes: object = None) -> None:
        """End all routes: something that they rest on has changed."""
        self.generation += 1

    def _generations(self) -> tuple[int, int, int]:
        return self.generation, self._catalogue.generation, self._flows.generation if self._flows is not None else 0

    def take(self, routes: dict[bytes, Route], target: bytes, connection: Connection) -> bool:
        """Answer a GET of `target` soon, by `Connection.answer_quick`. False where it must take the whole road."""
        prefix, _, name = target.rpartition(b"/")
        route = routes.get(prefix)
        if route is None or self.off:
            return False
        if route.generations != self._generations() or not route.credential.holds():
            del routes[prefix]
            return False
        key = route.key + name.decode("latin-1")
        item = route.collection.items.get(key)
        if item is None or len(item.body) > _MOST_BODY_BYTES or not route.level.enter(route.tally, 1):
            return False
        route.credential.repeats.times += 1
        route.granted.repeated += 1
        self.limits.enter("readOnly")
        self.feed.ask(_Read(self, connection, route, key, target))
        return True

    def take_untraced(self, routes: dict[bytes, Route], target: bytes, connection: Connection) -> bool:
        """As `take`, for a server that traces: False also where this request is to be traced.

        None of these has a parent, as `learn` keeps no route by headers that name one.
        """
        tracer = self.tracer
        if tracer is None or tracer.takes_next or not self.take(routes, target, connection):
            return False
        tracer.skip()
        return True

    def tell(self, read: _Read, code: int, seconds: float) -> None:
        """One took long: all that there is to wait for is the store's revision, and the cache until it is as new."""
        request = Request("GET", read.target.decode("latin-1"), {}, b"", read.connection)
        request.began = read.began
        request.steps.append(("watchCache fresh enough", read.began + seconds))
        self.slow.tell(request, request_infos.of("GET", request.path), code, seconds)

    def postpone(self, read: _Read, revision: int) -> None:
        """The cache is not there yet: answer when it is, together with all who wait for the same."""
        key = (revision, read.route.served.prefix)
        waiting = self._late.get(key)
        if waiting is not None:
            waiting.append(read)
            return
        self._late[key] = [read]
        task = asyncio.get_running_loop().create_task(self._catch_up(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _catch_up(self, key: tuple[int, str]) -> None:
        revision, prefix = key
        refusal: errors.StatusError | None = errors.timeout("the server is stopping")
        try:
            async with asyncio.timeout(FRESH_SECONDS):
                while not self.feed.holds(prefix, revision):
                    await self.feed.reach(revision)
                    await self.feed.ready(prefix)
            refusal = None
        except TimeoutError:
            refusal = errors.timeout("the watch cache did not catch up with the store in time")
        except errors.StatusError as error:
            refusal = error
        finally:
            for read in self._late.pop(key):
                if refusal is None:
                    read.answer()
                else:
                    read.refuse(refusal)

    def learn(self, request: Request, info: RequestInfo, user: User, response: Response | None, meters: Meters) -> None:
        """Keep what was decided of a GET that was answered with 200, where that is the same for every name."""
        if info.verb != "get" or response is None or response.status != 200:
            return
        connection, routes, flows = request.connection, request.routes, self._flows
        if connection is None or routes is None or flows is None or self.off:
            return
        if self.tracer is not None and "traceparent" in request.headers:
            return
        prefix, _, name = request.target.rpartition("/")
        if info.subresource or not name or name != info.name:
            return
        credential: Credential | None = connection.credential
        if credential is None or credential.user is not user or not credential.holds():
            return
        if self.remote(info.group, info.version) is not None:
            return
        served = self._catalogue.find(info.group, info.version, info.resource)
        if served is None or served.custom or served.extras or not served.is_stored or not served.is_plain:
            return
        if not served.resource.namespaced and info.namespace:
            # A Namespace is in itself: policy and flow hang on its name.
            return
        if served.resource.qualified in self.special or negotiate(request.headers.get("accept", "")) != DEFAULT:
            return
        if wants_pretty(request):
            return
        granted = self._authorizer.granting(user, info._replace(name=_ANY))
        if granted is None:
            return
        if len(routes) >= _MOST_ROUTES:
            routes.clear()
        flow = flows.of(user, info)
        routes[prefix.encode("latin-1")] = Route(
            served,
            self._catalogue.collection(served),
            served.key(info.namespace, ""),
            credential,
            granted,
            flow.level,
            flow.tally,
            flow.head,
            meters,
            self._generations(),
        )
