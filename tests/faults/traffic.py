"""Clients that read and write a few objects through several API servers at once, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.contracts.kube_apiserver.api_servers import Authority, Cluster
from tests.faults.linearizability import Operation, check
from tests.faults.stored_objects import Action, Answer, Content, Outcome, StoredObject, Verb

Step = Operation[Action, Outcome]

_WEIGHTS = {Verb.GET: 6, Verb.CREATE: 2, Verb.PUT: 2, Verb.SWAP: 3, Verb.REPEAT: 1, Verb.PATCH: 3, Verb.DELETE: 1}
# Without REPEAT: a PUT of what is there is still a write where it is stored in another form than it would be now.
CHANGING: Mapping[Verb, int] = {verb: weight for verb, weight in _WEIGHTS.items() if verb != Verb.REPEAT}
_METHODS = {
    Verb.GET: "GET",
    Verb.CREATE: "POST",
    Verb.PUT: "PUT",
    Verb.SWAP: "PUT",
    Verb.REPEAT: "PUT",
    Verb.PATCH: "PATCH",
    Verb.DELETE: "DELETE",
}
WRITES = frozenset(Verb) - {Verb.GET}
_PATIENCE_SECONDS = 30.0
# Answers that say: this did not happen. What they promise is judged with the rest of the history.
_REFUSED = frozenset({429, 503})
_SERVED = frozenset({200, 201, 404, 409})
# Answers that leave it open.
_OPEN = frozenset({500, 504})


@dataclass(slots=True)
class Call:
    """One request as it looked from outside; `status` is 0 where no answer came."""

    verb: Verb
    server: Cluster
    called: float
    returned: float
    status: int
    message: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.returned - self.called

    @property
    def acknowledged(self) -> bool:
        """Whether it is a write that the server says it has done."""
        return self.verb != Verb.GET and 200 <= self.status < 300


@dataclass
class Traffic:
    """`clients` clients on `keys` ConfigMaps of a namespace, some of them through one server, some through any.

    Use as an async context manager: they work while it is open. At its end every object is read through every server.
    `history` is by object.
    """

    servers: Sequence[Cluster]
    namespace: str
    keys: int = 4
    clients: int = 6
    seed: int = 1
    timeout: float = 15.0
    pause: float = 0.002
    # Which verbs are drawn, and how often.
    weights: Mapping[Verb, int] = field(default_factory=lambda: _WEIGHTS)
    # With more than one, what a server does not serve is asked of another, as a client behind a load balancer does.
    attempts: int = 1
    # A new connection for each request, with the handshake that comes with it.
    reconnects: bool = False
    # Whose certificates the clients have; of the first server where None.
    authority: Authority | None = None
    asked: int = 0
    given_up: int = 0
    history: dict[str, list[Step]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._names = [f"object-{number}" for number in range(self.keys)]
        self.history = {name: [] for name in self._names}
        # What each client last saw of each object: what a SWAP insists on.
        self._seen: dict[tuple[int, str], tuple[Content, int]] = {}
        self._words = 0
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False

    async def __aenter__(self) -> Traffic:
        first = self.servers[0]
        context = ssl.create_default_context(cadata=first.authority.pem.decode())
        certificate, key = (self.authority or first.authority).issue("traffic", ["system:masters"])
        context.load_cert_chain(first.write("traffic.crt", certificate), first.write("traffic.key", key))
        connector = aiohttp.TCPConnector(ssl=context, limit=0, force_close=self.reconnects)
        self._session = aiohttp.ClientSession(connector=connector)
        # It repeats a PUT or DELETE by itself whose connection broke; then one request would be two.
        self._session._retry_connection = False
        await self._ask(first, "POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(self.clients)]
        return self

    async def __aexit__(self, kind: object, *_error: object) -> None:
        self._ending = True
        try:
            await asyncio.gather(*self._tasks)
            for server in self.servers if kind is None else ():
                for name in self._names:
                    call = await self.once(-1, random.Random(0), server, name, Verb.GET)
                    assert call.status in (200, 404), call
        finally:
            assert self._session is not None
            await self._session.close()

    async def _ask(self, server: Cluster, method: str, path: str, body: Any = None, kind: str = "") -> tuple[int, Any]:
        assert self._session is not None
        async with self._session.request(
            method,
            server.server + path,
            data=None if body is None else orjson.dumps(body),
            headers={"Content-Type": kind or "application/json"} if body is not None else {},
            timeout=aiohttp.ClientTimeout(total=self.timeout, sock_connect=2),
        ) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def _work(self, client: int) -> None:
        chance = random.Random(self.seed * 1000 + client)
        while not self._ending:
            # A turn for each other: no client may starve the one that breaks things.
            await asyncio.sleep(self.pause * chance.random() * 2)
            # Some keep to one server, so that one that does not answer leaves clients to the others.
            choice = [*self.servers, chance.choice(self.servers)][client % (len(self.servers) + 1)]
            verb = chance.choices(list(self.weights), list(self.weights.values()))[0]
            await self._persist(client, chance, choice, chance.choice(self._names), verb)

    async def _persist(self, client: int, chance: random.Random, server: Cluster, name: str, verb: Verb) -> None:
        self.asked += 1
        at = self.servers.index(server)
        for attempt in range(self.attempts):
            call = await self.once(client, chance, self.servers[(at + attempt) % len(self.servers)], name, verb)
            if call.status in _SERVED:
                return
        self.given_up += 1

    async def once(self, client: int, chance: random.Random, server: Cluster, name: str, verb: Verb) -> Call:
        """Send one request and remember what became of it."""
        self._words += 1
        word = f"w{self._words}"
        seen = self._seen.get((client, name))
        action = Action(verb, word)
        if verb in (Verb.SWAP, Verb.REPEAT):
            action = Action(verb, word, *seen) if seen is not None else Action(Verb.GET)
            verb = action.verb
        collection = f"/api/v1/namespaces/{self.namespace}/configmaps"
        path, kind = f"{collection}/{name}", ""
        body: Any = None
        metadata: dict[str, Any] = {"name": name}
        match verb:
            case Verb.CREATE:
                path, body = collection, {"metadata": metadata, "data": {"put": word}}
            case Verb.PUT:
                body = {"metadata": metadata, "data": {"put": word}}
            case Verb.SWAP:
                body = {"metadata": {**metadata, "resourceVersion": str(action.revision)}, "data": {"put": word}}
            case Verb.REPEAT:
                assert action.seen is not None
                data = {"put": action.seen.put, "patched": action.seen.patched}
                body = {"metadata": metadata, "data": {key: value for key, value in data.items() if value}}
            case Verb.PATCH:
                kind = chance.choice(["merge", "strategic-merge", "json"])
                body = {"data": {"patched": word}}
                if kind == "json":
                    body = [{"op": "add", "path": "/data/patched", "value": word}]
                kind = f"application/{kind}-patch+json"
        called = time.monotonic()
        call = Call(verb, server, called, called, 0)
        answer: Any = {}
        sent = True
        try:
            call.status, answer = await self._ask(server, _METHODS[verb], path, body, kind)
        except aiohttp.ClientConnectorError as error:
            sent, call.message = False, str(error)
        except (aiohttp.ClientError, TimeoutError) as error:
            call.message = f"{type(error).__name__}: {error}"
        call.returned = time.monotonic()
        if call.status >= 400:
            call.message = answer.get("message", "")
        self.calls.append(call)
        if not sent or call.status in _REFUSED:
            return call
        outcome = self._outcome(verb, call.status, answer)
        if outcome is not None and outcome.content is not None:
            self._seen[client, name] = outcome.content, outcome.revision
        if outcome is not None or verb != Verb.GET:
            self.history[name].append(Operation(client, action, call.called, call.returned, outcome))
        return call

    def _outcome(self, verb: Verb, status: int, answer: Any) -> Outcome | None:
        if not status or status in _OPEN:
            return None
        if status == 404:
            return Outcome(Answer.NOT_FOUND)
        if status == 409:
            return Outcome(Answer.EXISTS if answer["reason"] == "AlreadyExists" else Answer.CONFLICT)
        assert status in (200, 201), answer
        if verb == Verb.DELETE:
            return Outcome(Answer.DONE)
        data = answer["data"]
        content = Content(data["put"], data.get("patched", ""))
        return Outcome(Answer.DONE, content, int(answer["metadata"]["resourceVersion"]))

    async def settle(self, seconds: float) -> None:
        """Let the clients work for a while."""
        done, _ = await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def until(self, verbs: frozenset[Verb], since: float, server: Cluster) -> float:
        """Seconds from `since` to the first of these requests that was called after it and served by `server`."""
        while True:
            for call in self.served(since, server):
                if call.verb in verbs and (call.verb == Verb.GET or call.acknowledged):
                    return call.returned - since
            assert time.monotonic() < since + _PATIENCE_SECONDS, f"{verbs}: not within {_PATIENCE_SECONDS:g} s"
            await self.settle(0.05)

    async def until_rewritten(self, since: float) -> None:
        """Wait until every object was written anew, or deleted, by a request that was called after `since`."""

        def rewritten(steps: list[Step]) -> bool:
            # What a REPEAT puts may be there already, and is then not written.
            anew = WRITES - {Verb.REPEAT}
            return any(
                each.called >= since and each.action.verb in anew and each.outcome is not None
                and each.outcome.answer == Answer.DONE
                for each in steps
            )  # fmt: skip

        await self._settled(lambda: all(map(rewritten, self.history.values())), since)

    async def until_failed(self, since: float, server: Cluster) -> None:
        """Wait until a request to `server` that was called after `since` was not served."""
        await self._settled(lambda: bool(self.failed(since, server)), since)

    async def until_served(self, since: float, server: Cluster, count: int) -> None:
        """Wait until `server` has served so many of the requests that were called after `since`."""
        await self._settled(lambda: len(self.served(since, server)) >= count, since)

    async def _settled(self, what: Callable[[], bool], since: float) -> None:
        while not what():
            assert time.monotonic() < since + _PATIENCE_SECONDS, f"not within {_PATIENCE_SECONDS:g} s"
            await self.settle(0.05)

    async def until_written(self, since: float, server: Cluster) -> float:
        """Seconds from `since` to the first write that was called after it and acknowledged by `server`."""
        return await self.until(WRITES, since, server)

    async def until_read(self, since: float, server: Cluster) -> float:
        """The same of a consistent read."""
        return await self.until(frozenset({Verb.GET}), since, server)

    async def cached_revision(self, server: Cluster) -> int:
        """The revision of a list that may be as old as the server's cache (resourceVersion 0)."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps?resourceVersion=0"
        status, answer = await self._ask(server, "GET", path)
        assert status == 200, answer
        return int(answer["metadata"]["resourceVersion"])

    def failed(self, since: float, server: Cluster) -> list[Call]:
        """The requests to a server, called after a moment, that were not served."""
        return [c for c in self.calls if c.server is server and c.called >= since and c.status not in _SERVED]

    def served(self, since: float, server: Cluster) -> list[Call]:
        """The requests to a server, called after a moment, that were served."""
        return [c for c in self.calls if c.server is server and c.called >= since and c.status in _SERVED]

    def judge(self) -> None:
        """AssertionError unless each object's history is linearizable."""
        for name, steps in self.history.items():
            verdict = check(steps, StoredObject())
            assert verdict.linearizable, f"{name}: {verdict}"
