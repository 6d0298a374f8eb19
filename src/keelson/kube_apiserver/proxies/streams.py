"""pods/exec, pods/attach and pods/portforward: an upgraded connection between a client and the pod's kubelet.

Reads the pod, the query (PodExecOptions, PodAttachOptions, PodPortForwardOptions) and the Node. Where client and
kubelet speak the same, bytes are carried as they are; where the client speaks WebSocket as of today, they are
translated (see translators).
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.component_base.wires import join
from keelson.kube_apiserver.admission.chains import CONNECT, Attributes
from keelson.kube_apiserver.authorization.unions import Authorizer, decided, refusal
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.messages import Request
from keelson.kube_apiserver.subresources.verbs import only

from . import headers, kubelets, websockets
from .backends import Answer, Backend, BackendError
from .kubelets import Kubelets, container_of, flag
from .translators import REMOTE_COMMAND_V4, REMOTE_COMMAND_V5, TUNNEL_PREFIX, RemoteCommand, tunnel
from .upgrades import taken

_ANSWER_SECONDS = 30.0
_SPDY = "SPDY/3.1"
_PROTOCOL = "x-stream-protocol-version"
_WEBSOCKET_HEADERS = (
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
)


class Streams:
    """`pods/NAME/{exec,attach,portforward}`."""

    def __init__(self, catalogue: Catalogue, objects: Objects, authorizer: Authorizer, node_kubelets: Kubelets) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._authorizer = authorizer
        self._kubelets = node_kubelets

    async def execute(self, context: Context, request: Request, served: Served) -> None:
        """pods/exec. Raises StatusError 400, 403, 404 and 500."""
        options = _command_options(request)
        options["command"] = request.query.get("command", [])
        await self._command("exec", "PodExecOptions", options, context, request, served)

    async def attach(self, context: Context, request: Request, served: Served) -> None:
        """pods/attach. Raises StatusError 400, 403, 404 and 500."""
        await self._command("attach", "PodAttachOptions", _command_options(request), context, request, served)

    async def port_forward(self, context: Context, request: Request, served: Served) -> None:
        """pods/portforward. Raises StatusError 400, 403, 404 and 500."""
        try:
            ports = [int(part) for text in request.query.get("ports", []) for part in text.split(",") if part]
        except ValueError as error:
            raise errors.bad_request(f"ports: {error}") from error
        await self._permit(context)
        admitted = await self._admit(context, served, "PodPortForwardOptions", {"ports": ports})
        ports = [int(port) for port in admitted.get("ports") or []]
        pod = await self._pod(context, request)
        path = f"/portForward/{quote(context.info.namespace)}/{quote(context.info.name)}"
        if ports:
            path += "?" + urlencode([("port", str(port)) for port in ports])
        tunnelled = [p for p in websockets.protocols(request.headers) if p.startswith(TUNNEL_PREFIX)]
        if websockets.is_websocket(request.headers) and tunnelled:
            await self._tunnelled(pod, path, request, [p.removeprefix(TUNNEL_PREFIX) for p in tunnelled])
        else:
            await self._passed(pod, path, request)

    async def _command(
        self, verb: str, kind: str, options: Object, context: Context, request: Request, served: Served
    ) -> None:
        await self._permit(context)
        if request.parameter("container"):
            options["container"] = request.parameter("container")
        # What admission makes of the options is what is done.
        options = await self._admit(context, served, kind, options)
        pod = await self._pod(context, request)
        options["container"] = container_of(pod, options.get("container") or "")
        query = [(name, "1") for name, key in _KUBELET_FLAGS.items() if options.get(key)]
        query += [("command", word) for word in options.get("command") or []]
        place = "/".join(quote(part) for part in (context.info.namespace, context.info.name, options["container"]))
        path = f"/{verb}/{place}?{urlencode(query)}"
        offered = websockets.protocols(request.headers)
        if not websockets.is_websocket(request.headers) or REMOTE_COMMAND_V5 not in offered:
            await self._passed(pod, path, request)
            return
        accepted = _accepted(request)
        answer, backend = await self._upgrade(pod, path, request, [REMOTE_COMMAND_V4])
        chosen = answer.header(_PROTOCOL)
        if chosen != REMOTE_COMMAND_V4:
            backend.close()
            raise errors.internal(f'the kubelet speaks "{chosen}" and not {REMOTE_COMMAND_V4}')
        streams = ["error", *(name for name in ("stdin", "stdout", "stderr") if options.get(name))]
        if options.get("tty"):
            streams.append("resize")
        with taken(request, backend) as (client, far):
            await client.write(_websocket_head(accepted, REMOTE_COMMAND_V5))
            await RemoteCommand(client, far, streams).run()

    async def _permit(self, context: Context) -> None:
        only(context, "create", "get")
        if context.info.verb == "get":
            # A WebSocket can only be opened by GET, yet it does what POST does: reading rights are not enough.
            info = context.info._replace(verb="create")
            verdict = await decided(self._authorizer, context.user, info)
            if verdict.allowed is not True:
                raise refusal(context.user, info, verdict.reason)

    async def _pod(self, context: Context, request: Request) -> Object:
        """The pod, where it can be connected to at all."""
        pod = await kubelets.pod_of(context, self._catalogue, self._objects)
        if not (pod.get("spec") or {}).get("nodeName"):
            raise errors.bad_request(f"pod {meta.name(pod)} does not have a host assigned")
        if not headers.is_upgrade(request.headers):
            raise errors.bad_request("Upgrade request required")
        return pod

    async def _admit(self, context: Context, served: Served, kind: str, options: Object) -> Object:
        info = context.info
        attributes = Attributes(
            context,
            CONNECT,
            served.resource,
            info.namespace,
            info.name,
            subresource=info.subresource,
            object={"kind": kind, "apiVersion": "v1", **{key: value for key, value in options.items() if value}},
        )
        await self._objects.admission.mutate(attributes)
        await self._objects.admission.validate(attributes)
        assert attributes.object is not None
        return attributes.object

    async def _passed(self, pod: Object, path: str, request: Request) -> None:
        """Carry bytes between a client and a kubelet that settle on a protocol themselves."""
        backend, target = await self._kubelets.connect(pod["spec"]["nodeName"])
        try:
            sent = kubelets.upgrade_headers(request, target.authority)
            answer = await self._ask(backend, request.method, path, sent)
        except BaseException:
            backend.close()
            raise
        with taken(request, backend) as (client, far):
            await client.write(headers.switching(answer.headers))
            await join(client, far)

    async def _tunnelled(self, pod: Object, path: str, request: Request, protocols: list[str]) -> None:
        accepted = _accepted(request)
        answer, backend = await self._upgrade(pod, path, request, protocols)
        chosen = answer.header(_PROTOCOL)
        if chosen not in protocols:
            backend.close()
            raise errors.internal(f'the kubelet chose the protocol "{chosen}", which was not offered')
        with taken(request, backend) as (client, far):
            await client.write(_websocket_head(accepted, TUNNEL_PREFIX + chosen))
            await tunnel(client, far)

    async def _upgrade(self, pod: Object, path: str, request: Request, protocols: list[str]) -> tuple[Answer, Backend]:
        """A SPDY connection to the pod's kubelet in place of the client's WebSocket."""
        backend, target = await self._kubelets.connect(pod["spec"]["nodeName"])
        try:
            replaced = dict.fromkeys((*_WEBSOCKET_HEADERS, "origin"), "")
            replaced |= {"connection": "Upgrade", "upgrade": _SPDY, _PROTOCOL: ",".join(protocols)}
            sent = kubelets.upgrade_headers(request, target.authority, replaced)
            return await self._ask(backend, "POST", path, sent), backend
        except BaseException:
            backend.close()
            raise

    async def _ask(self, backend: Backend, method: str, path: str, sent: list[tuple[str, str]]) -> Answer:
        """Send an upgrade. Raises StatusError for every answer but 101: nothing else opens the connection."""
        try:
            answer = await backend.send(method, path, sent, seconds=_ANSWER_SECONDS)
        except BackendError as error:
            raise errors.internal(f"error sending the upgrade to the kubelet: {error}") from error
        if answer.status == 101:
            return answer
        if answer.status < 400:
            raise errors.internal(f"invalid upgrade response: status code {answer.status}")
        text = (await backend.text()).strip()
        if answer.status == 400:
            raise errors.bad_request(text)
        if answer.status == 404:
            raise errors.StatusError(404, "NotFound", text)
        raise errors.internal(text or f"the kubelet answered {answer.status}")


_KUBELET_FLAGS = {"input": "stdin", "output": "stdout", "error": "stderr", "tty": "tty"}


def _command_options(request: Request) -> Object:
    """The streams that are asked for; a terminal has no standard error of its own."""
    options: Object = {name: flag(request, name) for name in ("stdin", "stdout", "stderr", "tty")}
    options["stderr"] = options["stderr"] and not options["tty"]
    return options


def _accepted(request: Request) -> str:
    try:
        return websockets.accept(request.headers)
    except websockets.WebSocketError as error:
        raise errors.bad_request(str(error)) from error


def _websocket_head(accepted: str, protocol: str) -> bytes:
    return headers.switching(
        [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accepted),
            ("Sec-WebSocket-Protocol", protocol),
        ]
    )
