"""What probes and lifecycle hooks do: a command in the container, a request over HTTP or gRPC, a connection.

Rules: LifecycleHandler and Probe of the API reference, "Configure Liveness, Readiness and Startup Probes" (which HTTP
answers count as success, redirects), the gRPC health checking protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import grpc
import grpc.aio

from keelson.api.meta import Object

from .decisions.observations import Container
from .runtimes import ports

_USER_AGENT = "kube-probe/1.36"
_BODY_LIMIT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """Whether the handler passed, and what it said."""

    passed: bool
    output: str = ""


class HandlerError(Exception):
    """The handler could not be carried out at all; a probe counts it as unknown, a hook as failed."""


class Handlers:
    """Carries handlers out. Use as an async context manager."""

    def __init__(self, runtime: ports.Runtime) -> None:
        self._runtime = runtime
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Handlers:
        # Each request has its own connection, as a fresh client would; certificates are not the probe's concern.
        connector = aiohttp.TCPConnector(ssl=False, force_close=True, limit=0, use_dns_cache=False)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def run(
        self, handler: Mapping[str, Any], container: Object, instance: Container, address: str, timeout: float
    ) -> Result:
        """Carry the handler out within `timeout` seconds; `address` is the pod's. Raises HandlerError."""
        if (found := handler.get("exec")) is not None:
            return await self._exec(instance, found.get("command") or [], timeout)
        if (found := handler.get("httpGet")) is not None:
            return await self._http(found, container, address, timeout)
        if (found := handler.get("tcpSocket")) is not None:
            return await _tcp(found.get("host") or address, port_number(found["port"], container), timeout)
        if (found := handler.get("grpc")) is not None:
            return await _grpc(address, int(found["port"]), found.get("service") or "", timeout)
        if (found := handler.get("sleep")) is not None:
            await asyncio.sleep(float(found["seconds"]))
            return Result(True)
        raise HandlerError("the handler names nothing to do")

    async def _exec(self, instance: Container, command: list[str], timeout: float) -> Result:
        try:
            found = await self._runtime.exec_sync(instance.id, command, timeout)
        except ports.DeadlineError as error:
            return Result(False, f"command timed out: {error}")
        except ports.CriError as error:
            raise HandlerError(str(error)) from error
        output = (found.stdout + found.stderr)[:_BODY_LIMIT].decode(errors="replace")
        return Result(found.exit_code == 0, output)

    async def _http(self, action: Mapping[str, Any], container: Object, address: str, timeout: float) -> Result:
        scheme = (action.get("scheme") or "HTTP").lower()
        host = action.get("host") or address
        if not host:
            raise HandlerError("the pod has no address yet")
        path = action.get("path") or "/"
        shown = f"[{host}]" if ":" in host else host
        url = (
            f"{scheme}://{shown}:{port_number(action['port'], container)}{path if path.startswith('/') else '/' + path}"
        )
        headers = {"User-Agent": _USER_AGENT, "Accept": "*/*"}
        for header in action.get("httpHeaders") or []:
            headers[header["name"]] = header["value"]
        assert self._session is not None
        try:
            async with asyncio.timeout(timeout):
                for _ in range(10):
                    async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                        body = (await answer.content.read(_BODY_LIMIT)).decode(errors="replace")
                        location = answer.headers.get("Location", "")
                        if 300 <= answer.status < 400 and location:
                            target = answer.url.join(type(answer.url)(location))
                            # Another host's health says nothing of this one's; being redirected there is a success.
                            if target.host != urlsplit(url).hostname:
                                return Result(True, body)
                            url = str(target)
                            continue
                        if 200 <= answer.status < 400:
                            return Result(True, body)
                        return Result(False, f"HTTP probe failed with statuscode: {answer.status}")
            return Result(False, "stopped after 10 redirects")
        except TimeoutError:
            return Result(
                False, f"Get {url!r}: context deadline exceeded (no answer in {timeout:g} s)".replace("'", '"')
            )
        except (aiohttp.ClientError, OSError) as error:
            return Result(False, f'Get "{url}": {error}')


async def _tcp(host: str, port: int, timeout: float) -> Result:
    if not host:
        raise HandlerError("the pod has no address yet")
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Result(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Result(False, f"dial tcp {host}:{port}: {error.strerror or error}")
    writer.transport.abort()
    return Result(True)


async def _grpc(host: str, port: int, service: str, timeout: float) -> Result:
    if not host:
        raise HandlerError("the pod has no address yet")
    # grpc.health.v1 by hand: the request's field 1 is the service, the answer's field 1 the status, 1 is SERVING.
    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    async with grpc.aio.insecure_channel(target, options=[("grpc.primary_user_agent", _USER_AGENT)]) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer: bytes = await check(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return Result(False, "error: this server does not implement the grpc health protocol")
            return Result(False, f'error: health rpc failed: {error.details()} (service "{service}")')
    return Result(answer == b"\x08\x01", "" if answer == b"\x08\x01" else "service unhealthy")


def port_number(port: int | str, container: Mapping[str, Any]) -> int:
    """A port given by number or by its name in the container. Raises HandlerError."""
    if isinstance(port, int):
        return port
    if port.isdecimal():
        return int(port)
    for found in container.get("ports") or []:
        if found.get("name") == port:
            return int(found["containerPort"])
    raise HandlerError(f"couldn't find port: {port!r} in container {container.get('name')!r}")
