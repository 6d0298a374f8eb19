"""The routes of the kubelet's server, as the API server and collectors of metrics use them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson
from aiohttp import web

from keelson.api import meta
from keelson.api.meta import Object
from keelson.component_base import metrics
from keelson.component_base.health import Checks
from keelson.kubelet.decisions.container_configs import all_containers
from keelson.kubelet.decisions.observations import Container
from keelson.kubelet.relists import Relister
from keelson.kubelet.runtimes import ports

from . import log_streams, resource_metrics, streams
from .access import Access

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pods(Protocol):
    """The node's pods."""

    def find(self, namespace: str, name: str) -> Object | None:
        """The pod of this name."""
        ...

    def all(self) -> list[Object]:
        """All pods with their newest status."""
        ...


class Routes:
    """Answers requests from what the kubelet knows and what the runtime offers."""

    def __init__(
        self,
        pods: Pods,
        relister: Relister,
        runtime: ports.Runtime,
        access: Access,
        *,
        healthz: Checks,
        now: Callable[[], datetime],
        configuration: Callable[[], Object],
    ) -> None:
        self._pods = pods
        self._relister = relister
        self._runtime = runtime
        self._access = access
        self._healthz = healthz
        self._now = now
        self._configuration = configuration

    def application(self) -> web.Application:
        """The application; every request is authenticated and authorised first."""
        app = web.Application(middlewares=[self._guard])
        router = app.router
        router.add_get("/healthz", self._health)
        router.add_get("/healthz/{name}", self._health)
        for path in ("/pods", "/pods/"):
            router.add_get(path, self._list)
        for path in ("/runningpods", "/runningpods/"):
            router.add_get(path, self._running)
        router.add_get("/configz", self._configz)
        router.add_get("/metrics", self._metrics)
        router.add_get("/metrics/resource", self._resources)
        router.add_get("/metrics/probes", self._metrics)
        router.add_get("/stats/summary", self._summary)
        router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for verb, handler in (("exec", self._exec), ("attach", self._attach)):
            for middle in ("", "/{uid}"):
                for method in ("GET", "POST"):
                    router.add_route(method, f"/{verb}/{{namespace}}/{{pod}}{middle}/{{container}}", handler)
        for path in ("/portForward/{namespace}/{pod}", "/portForward/{namespace}/{pod}/{uid}"):
            for method in ("GET", "POST"):
                router.add_route(method, path, self._port_forward)
        router.add_post("/run/{namespace}/{pod}/{container}", self._run)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        await self._access.check(request)
        try:
            return await handler(request)
        except ports.NotFoundError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        except ports.CriError as error:
            raise web.HTTPInternalServerError(text=str(error)) from error

    async def _health(self, request: web.Request) -> web.Response:
        status, text = await self._healthz.report(
            "healthz", only=request.match_info.get("name", ""), verbose="verbose" in request.query
        )
        return web.Response(status=status, text=text)

    async def _list(self, _request: web.Request) -> web.Response:
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._pods.all()})

    async def _running(self, _request: web.Request) -> web.Response:
        items = []
        for observed in self._relister.pods().values():
            running = [found for found in observed.containers if found.state == "running"]
            if not running or not observed.sandboxes:
                continue
            sandbox = observed.sandboxes[0]
            items.append(
                {
                    "metadata": {"name": sandbox.name, "namespace": sandbox.namespace, "uid": sandbox.uid},
                    "spec": {"containers": [{"name": c.name, "image": c.image, "resources": {}} for c in running]},
                    "status": {},
                }
            )
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _configz(self, _request: web.Request) -> web.Response:
        return _json({"kubeletconfig": self._configuration()})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _resources(self, _request: web.Request) -> web.Response:
        body = resource_metrics.exposition(await self._runtime.usages(), self._relister, self._now())
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _summary(self, _request: web.Request) -> web.Response:
        return _json(resource_metrics.summary(await self._runtime.usages(), self._relister, self._now()))

    def _pod(self, request: web.Request) -> Object:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        found = self._pods.find(namespace, name)
        uid = request.match_info.get("uid")
        if found is None or (uid and meta.uid(found) != uid):
            raise web.HTTPNotFound(text=f"pod does not exist: {namespace}/{name}")
        return found

    def _instance(self, request: web.Request) -> Container:
        """The newest running instance of the container that the path names."""
        pod, name = self._pod(request), request.match_info["container"]
        latest = self._relister.pod(meta.uid(pod)).latest(name)
        if latest is None or latest.state != "running":
            raise web.HTTPNotFound(text=f'container not found ("{name}")')
        return latest

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        pod, name = self._pod(request), request.match_info["container"]
        if all(container["name"] != name for container in all_containers(pod)):
            raise web.HTTPNotFound(text=f'container "{name}" not found in pod "{meta.name(pod)}"')
        try:
            wanted = log_streams.options(dict(request.query), self._now())
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        uid = meta.uid(pod)
        observed = self._relister.pod(uid)
        previous = request.query.get("previous", "") in {"true", "1"}
        instance = observed.latest(name)
        if instance is not None and previous:
            instance = observed.previous(name) if instance.state != "exited" else (observed.previous(name) or None)
            if instance is None:
                raise web.HTTPBadRequest(
                    text=f'previous terminated container "{name}" in pod "{meta.name(pod)}" not found'
                )
        if instance is None or instance.state == "created" or not instance.log_path:
            raise web.HTTPBadRequest(
                text=f'container "{name}" in pod "{meta.name(pod)}" is waiting to start: ContainerCreating'
            )
        chosen = instance.id

        def is_running() -> bool:
            found = self._relister.container(chosen)
            return found is not None and found[1].state == "running"

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        path = Path(instance.log_path)
        if not await asyncio.to_thread(path.exists):
            raise web.HTTPNotFound(text=f"the log of container {name} is not there any more")
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for chunk in log_streams.stream(path, wanted, is_running):
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        command = request.query.getall("command", [])
        if not command:
            raise web.HTTPBadRequest(text="you must specify a command")
        flags = _flags(request)
        url = await self._runtime.exec_url(self._instance(request).id, command, **flags)
        return await streams.forward(request, url)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        url = await self._runtime.attach_url(self._instance(request).id, **_flags(request))
        return await streams.forward(request, url)

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        sandbox = self._relister.pod(meta.uid(pod)).ready_sandbox
        if sandbox is None:
            raise web.HTTPNotFound(text=f"pod {meta.key(pod)} has no running sandbox")
        try:
            wanted = [int(part) for text in request.query.getall("port", []) for part in text.split(",")]
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"invalid port: {error}") from error
        return await streams.forward(request, await self._runtime.port_forward_url(sandbox.id, wanted))

    async def _run(self, request: web.Request) -> web.Response:
        result = await self._runtime.exec_sync(self._instance(request).id, request.query.get("cmd", "").split(), 60.0)
        return web.Response(body=result.stdout + result.stderr)


def _flags(request: web.Request) -> dict[str, bool]:
    def given(*names: str) -> bool:
        return any(request.query.get(name, "") in {"1", "true"} for name in names)

    tty = given("tty")
    result = {
        "stdin": given("input", "stdin"),
        "stdout": given("output", "stdout"),
        "stderr": given("error", "stderr") and not tty,
        "tty": tty,
    }
    if not (result["stdin"] or result["stdout"] or result["stderr"]):
        raise web.HTTPBadRequest(text="you must specify at least 1 of stdin, stdout, stderr")
    return result


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
