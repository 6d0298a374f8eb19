"""Clients that read and write a few objects through several API servers at once, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.linearizability import Operation, check
from tests.faults.stored_objects import Action, Answer, Content, Outcome, StoredObject, Verb

Step = Operation[Action, Outcome]

_WEIGHTS = {Verb.GET: 6, Verb.CREATE: 2, Verb.PUT: 2, Verb.SWAP: 3, Verb.PATCH: 3, Verb.DELETE: 1}
_METHODS = {
    Verb.GET: "GET",
    Verb.CREATE: "POST",
    Verb.PUT: "PUT",
    Verb.SWAP: "PUT",
    Verb.PATCH: "PATCH",
    Verb.DELETE: "DELETE",
}
# Answers that say: this did not happen. What they promise is judged with the rest of the history.
_REFUSED = frozenset({429, 503})
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
    """`clients` clients on `keys` ConfigMaps of a namespace, each request through a server drawn by lot.

    Use as an async context manager: they work while it is open. `history` is by object.
    """

    servers: Sequence[Cluster]
    namespace: str
    keys: int = 4
    clients: int = 6
    seed: int = 1
    timeout: float = 15.0
    pause: float = 0.002
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
        self.idle: set[Cluster] = set()

    async def __aenter__(self) -> Traffic:
        first = self.servers[0]
        context = ssl.create_default_context(cadata=first.authority.pem.decode())
        certificate, key = first.authority.issue("traffic", ["system:masters"])
        context.load_cert_chain(first.write("traffic.crt", certificate), first.write("traffic.key", key))
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0))
        await self._ask(first, "POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(self.clients)]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._ending = True
        try:
            await asyncio.gather(*self._tasks)
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
            servers = [each for each in self.servers if each not in self.idle]
            await self.once(client, chance, chance.choice(servers), chance.choice(self._names))

    async def once(self, client: int, chance: random.Random, server: Cluster, name: str) -> Call:
        """Send one request and remember what became of it."""
        verb = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        self._words += 1
        word = f"w{self._words}"
        seen = self._seen.get((client, name))
        if verb == Verb.SWAP and seen is None:
            verb = Verb.GET
        action = Action(verb, word, seen[0] if verb == Verb.SWAP and seen is not None else None)
        collection = f"/api/v1/namespaces/{self.namespace}/configmaps"
        path, body, kind = f"{collection}/{name}", None, ""
        metadata: dict[str, Any] = {"name": name}
        match verb:
            case Verb.CREATE:
                path, body = collection, {"metadata": metadata, "data": {"put": word}}
            case Verb.PUT:
                body = {"metadata": metadata, "data": {"put": word}}
            case Verb.SWAP:
                assert seen is not None
                body = {"metadata": {**metadata, "resourceVersion": str(seen[1])}, "data": {"put": word}}
            case Verb.PATCH:
                body, kind = {"data": {"patched": word}}, "application/merge-patch+json"
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

    async def until_written(self, since: float, server: Cluster | None = None, *, patience: float = 30.0) -> float:
        """Seconds from `since` to the first write that was called after it and acknowledged. AssertionError if none."""
        while True:
            for call in self.calls:
                if call.acknowledged and call.called >= since and server in (None, call.server):
                    return call.returned - since
            assert time.monotonic() < since + patience, f"no write within {patience:g} s"
            await self.settle(0.05)

    def judge(self) -> None:
        """AssertionError unless each object's history is linearizable."""
        for name, steps in self.history.items():
            verdict = check(steps, StoredObject())
            assert verdict.linearizable, f"{name}: {verdict}"

    def told(self) -> str:
        """How often each verb was answered in each way."""
        counts = Counter((str(call.verb), call.status) for call in self.calls)
        return ", ".join(f"{verb} {status}: {count}" for (verb, status), count in sorted(counts.items()))
