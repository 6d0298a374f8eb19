"""What an informer does, with all that it was told kept, so that what was missed or told twice can be judged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp

from keelson.api.errors import StatusError
from keelson.client import watches
from keelson.client.rest import Client
from tests import background

_RESUME_SECONDS = 0.05
_PATIENCE_SECONDS = 20.0


class Told(NamedTuple):
    """One event of a watch, or what it must be told by."""

    type: str
    name: str
    revision: int


@dataclass
class Segment:
    """What was told since one list: a list at `revision` had `objects`, by name with their revisions."""

    revision: int
    objects: dict[str, int]
    told: list[Told] = field(default_factory=list)

    def judge(self, history: Sequence[Told], *, complete: bool) -> None:
        """AssertionError unless the list and the events show this history, without gap, repetition or disorder."""
        shown: dict[str, int] = {}
        for each in history:
            if each.revision > self.revision:
                break
            if each.type == "DELETED":
                shown.pop(each.name, None)
            else:
                shown[each.name] = each.revision
        assert self.objects == shown
        due = [each for each in history if each.revision > self.revision]
        assert self.told == (due if complete else due[: len(self.told)])


class Follower:
    """Lists ConfigMaps of a namespace, watches, resumes from the last revision, and lists anew after 410."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self.segments: list[Segment] = []
        self._version = ""
        self._changed = asyncio.Event()

    @property
    def lists(self) -> int:
        """How often it listed."""
        return len(self.segments)

    @property
    def last(self) -> int:
        """The newest revision of an object that it knows of."""
        told = [each.revision for each in self.segments[-1].told] if self.segments else []
        listed = list(self.segments[-1].objects.values()) if self.segments else []
        return max([0, *told, *listed])

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until `what()`, which is asked whenever something was told."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not what():
                self._changed.clear()
                await self._changed.wait()

    def judge(self, history: Sequence[Told]) -> None:
        """AssertionError unless what was told, list by list, shows this history of the namespace to its end."""
        for number, segment in enumerate(self.segments, 1):
            segment.judge(history, complete=number == len(self.segments))

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except StatusError as error:
                if error.code == 410:
                    self._version = ""
                elif error.code in (429, 503, 504):
                    # The server is away, or does not know the revision yet.
                    await asyncio.sleep(_RESUME_SECONDS)
                else:
                    raise

    async def _list(self) -> None:
        listed = await self._client.list("configmaps", namespace=self._namespace)
        metadata = [each["metadata"] for each in listed["items"]]
        objects = {each["name"]: int(each["resourceVersion"]) for each in metadata}
        self._version = str(listed["metadata"]["resourceVersion"])
        self.segments.append(Segment(int(self._version), objects))
        self._changed.set()

    async def _watch(self) -> None:
        events = watches.watch(self._client, "configmaps", namespace=self._namespace, resource_version=self._version)
        with contextlib.suppress(aiohttp.ClientError):
            async for event in events:
                metadata = event.object["metadata"]
                self._version = metadata["resourceVersion"]
                if event.type != "BOOKMARK":
                    self.segments[-1].told.append(Told(event.type, metadata["name"], int(self._version)))
                    self._changed.set()


@contextlib.asynccontextmanager
async def following(client: Client, namespace: str) -> AsyncIterator[Follower]:
    """A follower that has listed, until the context ends."""
    follower = Follower(client, namespace)
    async with background.farewells(), background.running(follower.run()):
        await follower.until(lambda: follower.lists > 0)
        yield follower


async def written(client: Client, namespace: str, name: str) -> list[Told]:
    """Create and change an object; the events that this must be told by."""
    made = await client.create("configmaps", {"metadata": {"name": name, "namespace": namespace}})
    changed = await client.patch("configmaps", name, {"data": {"k": "v"}}, namespace=namespace)
    return [
        Told(type_, name, int(obj["metadata"]["resourceVersion"]))
        for type_, obj in (("ADDED", made), ("MODIFIED", changed))
    ]


async def namespace_of(client: Client, name: str) -> str:
    """A new namespace of this name."""
    await client.create("namespaces", {"metadata": {"name": name}})
    return name
