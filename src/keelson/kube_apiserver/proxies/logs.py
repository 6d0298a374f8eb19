"""pods/log: what a container wrote, out of the node's kubelet.

Reads the pod, its options out of the query (PodLogOptions) and the Node.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from urllib.parse import quote, urlencode

from keelson.api import errors, meta
from keelson.component_base.wires import Wire
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.subresources.verbs import only

from . import headers, websockets
from .backends import Backend, BackendError
from .kubelets import Kubelets, container_of, flag, pod_of, refusal

_HEADERS_SECONDS = 30.0
_FLAGS = ("follow", "previous", "timestamps")
_LEAST = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
# The subprotocols that logs are carried by, beside none: bytes, or text for clients that have no bytes.
_BINARY, _BASE64 = "binary.k8s.io", "base64.binary.k8s.io"
_STREAMS = ("All", "Stdout", "Stderr")


def kubelet_query(request: Request, pod_name: str) -> dict[str, str]:
    """The kubelet's parameters for a request's. Raises StatusError 400 and 422."""
    found: dict[str, str] = {name: "true" for name in _FLAGS if flag(request, name)}
    causes = []
    for name, least in _LEAST.items():
        text = request.parameter(name)
        if not text:
            continue
        try:
            number = int(text)
        except ValueError as error:
            raise errors.bad_request(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax') from error
        if number < least:
            why = f"Invalid value: {number}: must be greater than {'or equal to ' if not least else ''}0"
            causes.append(errors.cause(name, "FieldValueInvalid", why))
        found[name] = str(number)
    if since := request.parameter("sinceTime"):
        try:
            meta.parse_time(since)
        except ValueError as error:
            raise errors.bad_request(f'sinceTime: "{since}" is no time of RFC 3339') from error
        if "sinceSeconds" in found:
            why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
            causes.append(errors.cause("", "FieldValueForbidden", why))
        found["sinceTime"] = since
    if stream := request.parameter("stream"):
        if stream not in _STREAMS:
            supported = ", ".join(f'"{each}"' for each in _STREAMS)
            why = f'Unsupported value: "{stream}": supported values: {supported}'
            causes.append(errors.cause("stream", "FieldValueNotSupported", why))
        elif stream != "All":
            if "tailLines" in found:
                why = 'Forbidden: `tailLines` may only be specified when `stream` is "All"'
                causes.append(errors.cause("", "FieldValueForbidden", why))
            found["stream"] = stream
    if causes:
        raise errors.invalid("PodLogOptions", pod_name, causes)
    return found


class Logs:
    """`pods/NAME/log`."""

    def __init__(self, catalogue: Catalogue, objects: Objects, kubelets: Kubelets) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._kubelets = kubelets

    async def handle(self, context: Context, request: Request, _served: Served) -> Response | None:
        """Stream the log. Raises StatusError 400, 404, 422 and 500."""
        only(context, "get")
        name = context.info.name
        query = kubelet_query(request, name)
        pod = await pod_of(context, self._catalogue, self._objects)
        container = container_of(pod, request.parameter("container"))
        node_name = (pod.get("spec") or {}).get("nodeName") or ""
        if not node_name:
            # Nowhere is nothing logged: no error to a client that only waits for the pod.
            return Response(204, b"", "text/plain")
        switched = _switching(request) if websockets.is_websocket(request.headers) else ("", b"")
        insecure = flag(request, "insecureSkipTLSVerifyBackend")
        backend, target = await self._kubelets.connect(node_name, insecure=insecure)
        try:
            path = f"/containerLogs/{quote(context.info.namespace)}/{quote(name)}/{quote(container)}"
            if query:
                path += "?" + urlencode(query)
            try:
                answer = await backend.send(
                    "GET",
                    path,
                    [("Host", target.authority), ("Accept", "*/*"), ("Connection", "close")],
                    seconds=_HEADERS_SECONDS,
                )
            except BackendError as error:
                raise errors.internal(str(error)) from error
            if not 200 <= answer.status <= 206:
                raise await refusal(answer, backend, resource="pods/log", name=name)
            if websockets.is_websocket(request.headers):
                await _carry(request, backend, *switched)
                return None
            stream = request.stream(200, [("Content-Type", "text/plain"), ("Cache-Control", "no-cache, private")])
            try:
                async for chunk in backend.chunks():
                    stream.send(chunk)
                    await stream.drain()
            except BackendError:
                # Cut, so that nobody takes a part for the whole.
                stream.abort()
            else:
                stream.finish()
            return None
        finally:
            backend.close()


def _switching(request: Request) -> tuple[str, bytes]:
    """(the subprotocol, the head of the answer) of a WebSocket that a log is wanted over. Raises StatusError 400."""
    offered = websockets.protocols(request.headers)
    protocol = next((each for each in offered if each in (_BINARY, _BASE64)), "")
    if offered and not protocol:
        raise errors.bad_request(f"none of the subprotocols {', '.join(offered)} carries a log")
    try:
        accepted = websockets.accept(request.headers)
    except websockets.WebSocketError as error:
        raise errors.bad_request(str(error)) from error
    lines = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accepted)]
    if protocol:
        lines.append(("Sec-WebSocket-Protocol", protocol))
    return protocol, headers.switching(lines)


async def _carry(request: Request, backend: Backend, protocol: str, head: bytes) -> None:
    """Send the log as messages, as it comes; that the client goes ends it."""
    client = Wire()
    client.data_received(request.take_over(client.adopt))

    async def watch() -> None:
        with contextlib.suppress(ConnectionError):
            while await client.read():
                # Nothing a client says to a log means anything, but that it still listens.
                pass
        backend.close()

    watching = asyncio.create_task(watch())
    try:
        await client.write(head)
        async for chunk in backend.chunks():
            told = (websockets.TEXT, base64.b64encode(chunk)) if protocol == _BASE64 else (websockets.BINARY, chunk)
            await client.write(websockets.frame(*told))
        await client.write(websockets.close(websockets.NORMAL))
        client.close()
    except (ConnectionError, BackendError):
        client.abort()
    finally:
        watching.cancel()
