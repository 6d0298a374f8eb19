"""Many watchers in a process of their own, which come back as soon as they are cut off: what a server's restart brings.

`python -m tests.faults.crowds KUBECONFIG NAMESPACE COUNT` prints "all" whenever all of them are connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import aiohttp

from keelson.api.errors import StatusError
from keelson.client import kubeconfigs
from keelson.client.rest import Client

# As soon as a client may: the interval at which client-go's reflectors begin to come back is 0.8 s.
_AGAIN_SECONDS = 0.8


class Crowd:
    """`count` watches of one namespace's ConfigMaps."""

    def __init__(self, client: Client, namespace: str, count: int) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._count = count
        self._connected = 0

    async def watch(self) -> None:
        """Be connected for ever."""
        while True:
            with contextlib.suppress(StatusError, aiohttp.ClientError):
                async with self._client.stream("GET", self._path, query={"watch": "1"}) as answer:
                    # The object that is there is told first.
                    await answer.content.readany()
                    self._connected += 1
                    if self._connected == self._count:
                        print("all", flush=True)  # noqa: T201 - this is what it is for
                    try:
                        while await answer.content.readany():
                            pass
                    finally:
                        self._connected -= 1
            await asyncio.sleep(_AGAIN_SECONDS)


async def main(kubeconfig: str, namespace: str, count: int) -> None:
    """Watch until killed."""
    async with Client(kubeconfigs.load(kubeconfig), user_agent="crowd") as client, asyncio.TaskGroup() as group:
        crowd = Crowd(client, namespace, count)
        for _ in range(count):
            group.create_task(crowd.watch())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
