"""What the runtime has, pod by pod, and who is told when it changes.

The runtime is listed every second, and at once when it tells of an event where it can. Only pods whose list differs are
looked at in full; an instance that exited never changes again and is looked at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from keelson.component_base import metrics

from .decisions.observations import POD_UID, Container, RuntimePod, Sandbox, ordered
from .runtimes import ports

log = logging.getLogger(__name__)

_PERIOD = 1.0
# Upstream's limit: a runtime that was not listed for so long makes the node NotReady.
_STALE = 180.0

_DURATION = metrics.histogram(
    "kubelet_pleg_relist_duration_seconds",
    "Duration in seconds for relisting pods in PLEG.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_Signature = frozenset[tuple[str, str]]


class Relister:
    """The view of the runtime. `on_change(uid)` is called whenever the pod of this UID looks different."""

    def __init__(self, runtime: ports.Runtime, on_change: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._on_change = on_change
        self._pods: dict[str, RuntimePod] = {}
        self._signatures: dict[str, _Signature] = {}
        # Full looks at instances that exited.
        self._exited: dict[str, Container] = {}
        self._listed = asyncio.Event()
        self._prompt = asyncio.Event()
        self._last = 0.0

    async def listed(self) -> None:
        """Wait until the runtime was listed once."""
        await self._listed.wait()

    def pod(self, uid: str) -> RuntimePod:
        """What was last seen of the pod; empty where nothing was."""
        return self._pods.get(uid, RuntimePod(uid=uid))

    def pods(self) -> dict[str, RuntimePod]:
        """All pods that the runtime has something of."""
        return dict(self._pods)

    def container(self, container_id: str) -> tuple[RuntimePod, Container] | None:
        """The instance of this id and its pod."""
        for pod in self._pods.values():
            for found in pod.containers:
                if found.id == container_id:
                    return pod, found
        return None

    def failure(self) -> str | None:
        """Why what is known is too old to rely on, None where it is fresh."""
        if not self._listed.is_set():
            return "pleg has yet to be successful"
        age = asyncio.get_running_loop().time() - self._last
        return f"pleg was last seen active {age:.0f}s ago; threshold is {_STALE:.0f}s" if age > _STALE else None

    async def refresh(self, uid: str) -> RuntimePod:
        """Look at one pod now. Raises CriError."""
        sandboxes = await self._runtime.sandboxes(uid)
        containers = await self._runtime.containers(uid)
        return await self._take(uid, sandboxes, containers)

    async def run(self) -> None:
        """List until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._relist_forever())

    async def _relist_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._prompt.clear()
            started = loop.time()
            try:
                await self._relist()
            except ports.CriError as error:
                log.warning("listing the runtime: %s", error)
            else:
                self._last = loop.time()
                self._listed.set()
                _DURATION.observe(self._last - started)
            try:
                async with asyncio.timeout(_PERIOD):
                    await self._prompt.wait()
            except TimeoutError:
                pass

    async def _follow(self) -> None:
        """Turn the runtime's events into prompts; without events the period alone counts."""
        while True:
            try:
                async for _ in self._runtime.events():
                    self._prompt.set()
            except ports.UnsupportedError:
                log.info("the runtime has no container events; it is listed every %g s", _PERIOD)
                await asyncio.Event().wait()
            except ports.CriError as error:
                log.debug("container events: %s", error)
            await asyncio.sleep(_PERIOD)

    async def _relist(self) -> None:
        sandboxes: dict[str, list[Sandbox]] = {}
        containers: dict[str, list[Container]] = {}
        for sandbox in await self._runtime.sandboxes():
            # A sandbox without our label was made by somebody else on this runtime.
            if POD_UID in sandbox.labels:
                sandboxes.setdefault(sandbox.uid, []).append(sandbox)
        for container in await self._runtime.containers():
            if uid := container.labels.get(POD_UID):
                containers.setdefault(uid, []).append(container)
        for uid in {*sandboxes, *containers, *self._pods}:
            mine = sandboxes.get(uid, []), containers.get(uid, [])
            if self._signatures.get(uid) != _signature(*mine):
                await self._take(uid, *mine)
        alive = {found.id for each in containers.values() for found in each}
        self._exited = {key: found for key, found in self._exited.items() if key in alive}

    async def _take(self, uid: str, sandboxes: list[Sandbox], containers: list[Container]) -> RuntimePod:
        signature = _signature(sandboxes, containers)
        changed = self._signatures.get(uid) != signature
        full = ordered(
            uid,
            [found for each in sandboxes if (found := await self._sandbox(each)) is not None],
            [seen for one in containers if (seen := await self._container(one)) is not None],
        )
        if sandboxes or containers:
            self._signatures[uid], self._pods[uid] = signature, full
        else:
            self._signatures.pop(uid, None)
            self._pods.pop(uid, None)
        if changed:
            self._on_change(uid)
        return full

    async def _sandbox(self, listed: Sandbox) -> Sandbox | None:
        try:
            return await self._runtime.sandbox(listed.id)
        except ports.NotFoundError:
            return None

    async def _container(self, listed: Container) -> Container | None:
        if listed.id in self._exited:
            return self._exited[listed.id]
        try:
            found = replace(await self._runtime.container(listed.id), sandbox_id=listed.sandbox_id)
        except ports.NotFoundError:
            return None
        if found.state == "exited":
            self._exited[found.id] = found
        return found


def _signature(sandboxes: list[Sandbox], containers: list[Container]) -> _Signature:
    return frozenset(
        [(found.id, "ready" if found.ready else "stopped") for found in sandboxes]
        + [(found.id, found.state) for found in containers]
    )
