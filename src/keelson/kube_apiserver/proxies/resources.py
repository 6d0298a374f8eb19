"""nodes/proxy, pods/proxy and services/proxy: any request, passed on to a kubelet, a pod or a service's endpoint.

Reads the object that the path names, for services its EndpointSlices and their Pods. Paths are
`…/proxy/PATH` after `[scheme:]name[:port]` ("Access Services Running on Clusters").
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Sequence

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.admission.chains import CONNECT, Attributes
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.messages import Request, Response

from . import addresses, headers
from .backends import AddressError, Backend, BackendError, Target
from .forwarding import forward
from .kubelets import Kubelets, unverified

_CONNECT_SECONDS = 30.0
_KINDS = {"nodes": "NodeProxyOptions", "pods": "PodProxyOptions", "services": "ServiceProxyOptions"}


class Proxies:
    """`…/NAME/proxy[/PATH]`. `withheld` are beginnings of headers in which front proxies state identities."""

    def __init__(
        self, catalogue: Catalogue, objects: Objects, node_kubelets: Kubelets, withheld: Sequence[str] = ()
    ) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._kubelets = node_kubelets
        self._withheld = withheld
        self._tls: ssl.SSLContext | None = None

    async def handle(self, context: Context, request: Request, served: Served) -> Response | None:
        """Pass the request on. Raises StatusError 400, 404 and 503."""
        info = context.info
        prefix, path = split(request.target, namespaced=served.resource.namespaced)
        await self._admit(context, served, path)
        match served.resource.plural:
            case "nodes":
                target = await self._node(info.name)
            case "pods":
                target = await self._pod(context)
            case _:
                target = await self._service(context)
        if not path and request.method in ("GET", "HEAD") and not headers.is_upgrade(request.headers):
            # Relative links of what is answered only work below a slash.
            query = f"?{request.query_string}" if request.query_string else ""
            return Response(301, b"", "text/plain", [("Location", f"{prefix}/{query}")])
        try:
            backend = await Backend.connect(target, _CONNECT_SECONDS)
        except AddressError as error:
            raise errors.bad_request(str(error)) from error
        except BackendError as error:
            raise errors.unavailable(f"error trying to reach service: {error}") from error
        try:
            return await self._passed(backend, target, request, prefix, path or "/")
        finally:
            backend.close()

    async def _admit(self, context: Context, served: Served, path: str) -> None:
        info = context.info
        options = {"kind": _KINDS[served.resource.plural], "apiVersion": "v1", "path": path}
        attributes = Attributes(
            context, CONNECT, served.resource, info.namespace, info.name, subresource="proxy", object=options
        )
        await self._objects.admission.mutate(attributes)
        await self._objects.admission.validate(attributes)

    # --- where to

    def _unverified(self) -> ssl.SSLContext:
        """TLS to pods and services, for whose certificates nobody vouches."""
        if self._tls is None:
            self._tls = unverified()
        return self._tls

    def _target(self, host: str, port: int, scheme: str) -> Target:
        return Target(host, port, self._unverified() if scheme == "https" else None, addresses.is_proxyable)

    async def _node(self, text: str) -> Target:
        stated = addresses.named(text, "node")
        node = await self._kubelets.node(stated.name)
        kubelet = self._kubelets.target(node)
        if not stated.port or stated.port == str(kubelet.port):
            return Target(kubelet.host, kubelet.port, kubelet.tls, addresses.is_proxyable)
        # Another port of the node is another server: it gets neither the API server's certificate nor its trust.
        return self._target(kubelet.host, addresses.port_number(stated.port), stated.scheme)

    async def _pod(self, context: Context) -> Target:
        stated = addresses.named(context.info.name, "pod")
        served = self._catalogue.named("pods")
        pod = self._objects.object(served, await self._objects.get(served, context.info.namespace, stated.name))
        found = addresses.pod_addresses(pod)
        if not found:
            raise errors.bad_request(f"pod {stated.name} has no address yet")
        return self._target(found[0], addresses.pod_port(pod, stated.port, stated.scheme), stated.scheme)

    async def _service(self, context: Context) -> Target:
        namespace = context.info.namespace
        stated = addresses.named(context.info.name, "service")
        services, pods = self._catalogue.named("services"), self._catalogue.named("pods")
        service = self._objects.object(services, await self._objects.get(services, namespace, stated.name))
        port_name = addresses.service_port_name(service, stated.port)
        found = addresses.endpoints(await self._slices(namespace, stated.name), port_name)
        random.shuffle(found)
        for endpoint in found:
            item = (await self._objects.cached(pods)).items.get(pods.key(namespace, endpoint.pod))
            # An EndpointSlice is anybody's word: only an address that its pod really has is gone to.
            if item is not None and endpoint.address in addresses.pod_addresses(self._objects.object(pods, item)):
                return self._target(endpoint.address, endpoint.port, stated.scheme)
        raise errors.unavailable(f'no endpoints available for service "{context.info.name}"')

    async def _slices(self, namespace: str, service: str) -> list[Object]:
        served = self._catalogue.named("endpointslices.discovery.k8s.io")
        prefix = served.key(namespace, "")
        cached = (await self._objects.cached(served)).items
        found = [self._objects.object(served, item) for key, item in cached.items() if key.startswith(prefix)]
        return [each for each in found if meta.labels(each).get("kubernetes.io/service-name") == service]

    # --- passing on

    async def _passed(
        self, backend: Backend, target: Target, request: Request, prefix: str, path: str
    ) -> Response | None:
        query = f"?{request.query_string}" if request.query_string else ""
        sent = headers.of_request(request.headers, target.authority, remote=request.remote, withheld=self._withheld)
        if request.headers.get("host"):
            sent += [("X-Forwarded-Host", request.headers["host"]), ("X-Forwarded-Proto", "https")]
        sent.append(("X-Forwarded-Uri", prefix + path))
        return await forward(
            backend,
            request,
            path + query,
            sent,
            relocate=lambda location: headers.relocated(location, target.authority, prefix),
            unreachable="error trying to reach service",
        )


def split(target: str, *, namespaced: bool) -> tuple[str, str]:
    """The request's path up to `/proxy`, and the rest as it came: "" or beginning with a slash, without the query."""
    parts = ("/" + target.partition("?")[0].lstrip("/")).split("/")
    # ["", "api", "v1", "nodes", NAME, "proxy", …] and ["", "api", "v1", "namespaces", NAMESPACE, "pods", NAME, …].
    depth = 8 if namespaced else 6
    rest = parts[depth:]
    return "/".join(parts[:depth]), "/" + "/".join(rest) if rest else ""


def is_proxied(target: bytes) -> bool:
    """Whether a request's target (or one much like it) is a proxy's, so that its body is passed on as it comes."""
    return b"/proxy/" in target or target.partition(b"?")[0].endswith(b"/proxy")
