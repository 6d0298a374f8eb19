"""Judges every APIService: the condition Available, with upstream's reasons and sentences.

A local one is always available. A remote one is looked at when it, its Service or an EndpointSlice changes, every 30
seconds, and sooner again while it fails: its Service must be there and listen, have ready endpoints, and answer
discovery. Every instance judges for itself and writes only what is new.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.component_base import metrics
from keelson.kube_apiserver.caches.collections import Change
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.request_infos import RequestInfo
from keelson.storage.errors import StorageError

from .remotes import AVAILABLE, Remote, RemoteError
from .routes import Routes
from .services import SERVICE_LABEL, SLICES, Services

log = logging.getLogger(__name__)

_RESYNC_SECONDS = 30.0
_FIRST_RETRY_SECONDS = 0.5
_CHECK_SECONDS = 5.0
# One answer is enough; several are asked for because any endpoint may be the one that is ill.
_ATTEMPTS = 5


class _Counts:
    """The two metrics of availability; their names differ by `_total` alone, which the client's classes refuse."""

    def __init__(self) -> None:
        self.unavailable: dict[str, int] = {}
        self.failures: Counter[tuple[str, str]] = Counter()

    def collect(self) -> Iterator[Metric]:
        """The families, as the registry asks for them."""
        name = "aggregator_unavailable_apiservice"
        gauge = GaugeMetricFamily(name, "APIServices that are unavailable: 1 if it is.", labels=("name",))
        for api_service, value in self.unavailable.items():
            gauge.add_metric((api_service,), value)
        yield gauge
        counter = CounterMetricFamily(name, "Times an APIService became unavailable.", labels=("name", "reason"))
        for labels, value in self.failures.items():
            counter.add_metric(labels, value)
        yield counter


_COUNTS = _Counts()
metrics.REGISTRY.register(_COUNTS)


class Verdict(NamedTuple):
    """What the condition says."""

    status: str
    reason: str
    message: str


LOCAL = Verdict("True", "Local", "Local APIServices are always available")
PASSED = Verdict("True", "Passed", "all checks passed")


def of_service(remote: Remote, service: Object | None, slices: Sequence[Object]) -> Verdict | None:
    """What Service and EndpointSlices say against the server; None where nothing. Pure."""
    namespace, name, number = remote.reference
    if service is None:
        return Verdict("False", "ServiceNotFound", f'service/{name} in "{namespace}" is not present')
    spec = service.get("spec") or {}
    if (spec.get("type") or "ClusterIP") != "ClusterIP":
        return None
    port = next((each for each in spec.get("ports") or () if int(each["port"]) == number), None)
    if port is None:
        message = f'service/{name} in "{namespace}" is not listening on port {number}'
        return Verdict("False", "ServicePortError", message)
    if not slices:
        message = f'cannot find endpointslices for service/{name} in "{namespace}"'
        return Verdict("False", "EndpointsNotFound", message)
    port_name = port.get("name") or ""
    if not any(_serves(each, port_name) for each in slices):
        message = f'endpointslices for service/{name} in "{namespace}" have no addresses with port name "{port_name}"'
        return Verdict("False", "MissingEndpoints", message)
    return None


def _serves(endpoint_slice: Object, port_name: str) -> bool:
    ready = any(
        (each.get("conditions") or {}).get("ready") is not False for each in endpoint_slice.get("endpoints") or ()
    )
    return ready and any(
        (port.get("name") or "") == port_name and port.get("port") for port in endpoint_slice.get("ports") or ()
    )


class Availability:
    """The worker of one instance."""

    def __init__(self, catalogue: Catalogue, objects: Objects, routes: Routes, services: Services) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._routes = routes
        self._services = services
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        # One task a remote APIService: that one is slow to answer must not keep others from being judged.
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._following = False

    async def run(self) -> None:
        """Work for ever. `Routes.start` must have returned."""
        self._routes.observers.append(self._observe)
        self._observe(self._routes.names())
        try:
            while True:
                name = await self._queue.get()
                self._waiting.discard(name)
                try:
                    await self._look(name)
                except (StorageError, errors.StatusError) as error:
                    log.warning("APIService %s waits: %s", name, error)
                    asyncio.get_running_loop().call_later(_FIRST_RETRY_SECONDS, self._enqueue, name)
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _enqueue(self, name: str) -> None:
        if name not in self._waiting:
            self._waiting.add(name)
            self._queue.put_nowait(name)

    def _observe(self, names: set[str]) -> None:
        for name in sorted(names):
            self._enqueue(name)

    async def _look(self, name: str) -> None:
        remote = self._routes.remote(name)
        task = self._tasks.get(name)
        if task is not None and (remote is None or task.get_name() != _task_name(remote)):
            task.cancel()
            del self._tasks[name], self._changed[name]
        if remote is None:
            if self._routes.get(name) is not None:
                await self._tell(name, LOCAL)
            elif task is not None:
                _COUNTS.unavailable.pop(name, None)
            return
        await self._follow_services()
        if name not in self._tasks:
            self._changed[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._judge(remote), name=_task_name(remote))

    async def _follow_services(self) -> None:
        if self._following:
            return
        self._following = True
        services, slices = self._catalogue.named("services"), self._catalogue.named(SLICES)
        (await self._objects.cached(services)).observers.append(self._observe_services)
        (await self._objects.cached(slices)).observers.append(self._observe_slices)

    def _observe_services(self, changes: list[Change] | None) -> None:
        self._wake(None if changes is None else {(each.told.namespace, each.told.name) for each in changes})

    def _observe_slices(self, changes: list[Change] | None) -> None:
        named = None if changes is None else {(c.told.namespace, c.told.labels.get(SERVICE_LABEL, "")) for c in changes}
        self._wake(named)

    def _wake(self, services: set[tuple[str, str]] | None) -> None:
        for remote in self._routes.remotes():
            place = (remote.reference.namespace, remote.reference.name)
            if (services is None or place in services) and remote.name in self._changed:
                self._changed[remote.name].set()

    async def _judge(self, remote: Remote) -> None:
        """Look at one remote APIService again and again."""
        changed = self._changed[remote.name]
        pause = _FIRST_RETRY_SECONDS
        while True:
            changed.clear()
            try:
                verdict = await self._verdict(remote)
                await self._tell(remote.name, verdict)
                fine = verdict.status == "True"
            except (StorageError, errors.StatusError) as error:
                log.warning("APIService %s waits: %s", remote.name, error)
                fine = False
            pause = _FIRST_RETRY_SECONDS if fine else min(pause * 2, _RESYNC_SECONDS)
            try:
                async with asyncio.timeout(_RESYNC_SECONDS if fine else pause):
                    await changed.wait()
            except TimeoutError:
                continue
            pause = _FIRST_RETRY_SECONDS

    async def _verdict(self, remote: Remote) -> Verdict:
        service = await self._services.service(remote.reference)
        slices = await self._services.slices(remote.reference)
        against = of_service(remote, service, slices)
        if against is not None:
            return against
        why = await self._asked(remote)
        if why is not None:
            others = await asyncio.gather(*(self._asked(remote) for _ in range(_ATTEMPTS - 1)))
            if None not in others:
                return Verdict("False", "FailedDiscoveryCheck", others[-1] or why)
        return PASSED

    async def _asked(self, remote: Remote) -> str | None:
        """What is wrong with the server's discovery, None where nothing."""
        url = f"https://{remote.reference.server_name}:{remote.reference.port}{remote.path}"
        try:
            answer = await remote.fetch(remote.path, seconds=_CHECK_SECONDS)
        except RemoteError as error:
            return f'failing or missing response from {url}: Get "{url}": {error}'
        if not 200 <= answer.status < 300:
            return f"failing or missing response from {url}: bad status from {url}: {answer.status}"
        return None

    async def _tell(self, name: str, verdict: Verdict) -> None:
        _COUNTS.unavailable[name] = int(verdict.status != "True")
        now = datetime.now(UTC)
        found = self._routes.get(name)
        if found is None or _with(found, verdict, now) == found.get("status"):
            return
        if verdict.status != "True" and not meta.condition_is(found, AVAILABLE, "False"):
            _COUNTS.failures[name, verdict.reason] += 1
        served = self._routes.resource
        resource = served.resource
        info = RequestInfo(True, "update", "", resource.group, resource.version, resource=resource.plural)
        context = Context(LOOPBACK, info, now, manager="kube-apiserver")

        def change(obj: Object) -> Object:
            return {**obj, "status": _with(obj, verdict, now)}

        try:
            await self._objects.update(context, served, "", name, change, subresource="status")
        except errors.StatusError as error:
            # It was deleted meanwhile: there is nothing left to say.
            if error.code != 404:
                raise


def _with(api_service: Object, verdict: Verdict, now: datetime) -> Object:
    conditions = meta.with_condition(
        meta.conditions(api_service),
        type_=AVAILABLE,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message,
        now=now,
    )
    return {**(api_service.get("status") or {}), "conditions": conditions}


def _task_name(remote: Remote) -> str:
    """Tells apart the servers that one APIService names one after the other."""
    return f"{remote.name}@{id(remote)}"
