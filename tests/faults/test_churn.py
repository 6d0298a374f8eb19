"""A day of churn in ten minutes: what comes and goes leaves nothing behind in the server.

Objects of built-in and custom kinds, watches, tokens, connections and resource definitions come and go at an even
pace, since what the server keeps for a while (75 s of history for watches) depends on it. That has filled up in the
first third; from then on a line is laid through its memory, by the median of the slopes between all samples (Theil and
Sen), which a single collection does not bend.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing.targets import Target

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

_SECONDS = 600.0
_SAMPLE_SECONDS = 2.0
_TURN_SECONDS = 0.2
_NAMESPACE = "/api/v1/namespaces/default"
_CONFIG_MAPS = f"{_NAMESPACE}/configmaps"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# Without any leak a sample is off by a MiB or two, of some hundred thousand calls; an object that stayed for each call
# would be a thousand bytes and more.
_BYTES_A_CALL = 20.0
_MIB = 1 << 20


class Churn:
    """Workers on a cluster until `ends`; `calls` counts what they have asked."""

    def __init__(self, cluster: Cluster, ends: float) -> None:
        self._cluster = cluster
        self._ends = ends
        self._numbers = itertools.count()
        self.calls = 0

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> Any:
        self.calls += 1
        data = None if body is None else json.dumps(body)
        async with session.request(method, path, data=data, headers={"Content-Type": kind}) as answer:
            told = await answer.read()
            assert answer.status < 300, told
            return json.loads(told)

    async def _turns(self, seconds: float) -> AsyncIterator[int]:
        """Numbers of turns, one each so many seconds."""
        due = time.monotonic()
        while time.monotonic() < self._ends:
            yield next(self._numbers)
            # What a slow machine missed is not made up for: the pace would not be even.
            due = max(due + seconds, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def objects(self) -> None:
        """ConfigMaps and Pods of new names, each changed, listed and deleted, now and then on a new connection."""
        turns = self._turns(_TURN_SECONDS)
        while time.monotonic() < self._ends:
            async with self._cluster.session() as session:
                for _ in range(10):
                    if (number := await anext(turns, None)) is None:
                        return
                    await self._objects(session, f"churn-{number}")

    async def _objects(self, session: aiohttp.ClientSession, name: str) -> None:
        metadata = {"name": name, "labels": {"turn": name}}
        pod = {"metadata": metadata, "spec": {"containers": [{"name": "a", "image": "b"}]}}
        config_map = {"metadata": metadata, "data": {"k": "x" * 500}}
        for path, body in ((_CONFIG_MAPS, config_map), (f"{_NAMESPACE}/pods", pod)):
            await self._ask(session, "POST", path, body)
            patch = {"metadata": {"annotations": {"name": name}}}
            await self._ask(session, "PATCH", f"{path}/{name}", patch, "application/merge-patch+json")
            found = await self._ask(session, "GET", f"{path}?labelSelector=turn%3D{name}")
            assert len(found["items"]) == 1
            await self._ask(session, "DELETE", f"{path}/{name}?gracePeriodSeconds=0")

    async def watches(self) -> None:
        """Watches of everything in the namespace, left after a few events: half of them in good order."""
        async with self._cluster.session() as session:
            async for number in self._turns(_TURN_SECONDS):
                self.calls += 1
                query = f"watch=1&timeoutSeconds={1 if number % 2 else 30}"
                async with session.get(f"{_CONFIG_MAPS}?{query}") as answer:
                    for _ in range(20):
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(2):
                                if not await answer.content.readline():
                                    break

    async def tokens(self) -> None:
        """Tokens of service accounts that come and go, each used."""
        async with self._cluster.session() as session, self._cluster.session("") as bearer:
            async for number in self._turns(_TURN_SECONDS):
                account = f"{_NAMESPACE}/serviceaccounts"
                await self._ask(session, "POST", account, {"metadata": {"name": f"churn-{number}"}})
                made = await self._ask(session, "POST", f"{account}/churn-{number}/token", {"spec": {}})
                headers = {"Authorization": f"Bearer {made['status']['token']}"}
                self.calls += 1
                async with bearer.get("/version", headers=headers) as answer:
                    assert answer.status == 200
                await self._ask(session, "DELETE", f"{account}/churn-{number}")

    async def definitions(self) -> None:
        """Kinds of users, each with an object, and gone again."""
        async with self._cluster.session() as session:
            async for number in self._turns(1.0):
                await self._definition(session, f"churn{number}.example.com")

    async def _definition(self, session: aiohttp.ClientSession, group: str) -> None:
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
        spec = {"group": group, "scope": "Cluster", "names": names, "versions": [version]}
        await self._ask(session, "POST", _DEFINITIONS, {"metadata": {"name": f"things.{group}"}, "spec": spec})
        path, thing = (
            f"/apis/{group}/v1/things",
            {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}},
        )

        async def made() -> bool:
            self.calls += 1
            async with session.post(path, json=thing) as answer:
                return answer.status == 201

        await waits.until(made)
        await self._ask(session, "DELETE", f"{_DEFINITIONS}/things.{group}")


def slope(samples: list[tuple[float, float]]) -> float:
    """How much the second value grows with the first, by the median of the slopes between all pairs."""
    return statistics.median(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in itertools.combinations(samples, 2)
        if later[0] > earlier[0]
    )


async def test_what_comes_and_goes_leaves_nothing_behind(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        target = Target(cluster)
        account = {"metadata": {"name": "default"}}
        async with cluster.session() as session, session.post(f"{_NAMESPACE}/serviceaccounts", json=account) as answer:
            assert answer.status == 201
        before = target.descriptors()
        began = time.monotonic()
        churn = Churn(cluster, began + _SECONDS)
        samples: list[tuple[float, float]] = []
        async with asyncio.TaskGroup() as group:
            for work in (*[churn.objects] * 4, *[churn.watches] * 4, churn.tokens, churn.definitions):
                group.create_task(work())
            while time.monotonic() < began + _SECONDS:
                await asyncio.sleep(_SAMPLE_SECONDS)
                samples.append((float(churn.calls), target.memory() * _MIB))
        settled = samples[len(samples) // 3 :]
        grows = slope(settled)
        line = [round(each[1] / _MIB, 1) for each in samples[:: max(1, len(samples) // 20)]]
        assert grows < _BYTES_A_CALL, (grows, churn.calls, line)

        async def left() -> bool:
            return target.descriptors() <= before

        await waits.until(left)
        print(f"{churn.calls} calls, {grows:.2f} bytes a call, MiB: {line}")  # noqa: T201 - the night's figures
