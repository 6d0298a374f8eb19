"""Where the API server connects to for a Service: its own knowledge, never DNS ("Service resolver" of kube-aggregator).

Reads Services and, where endpoints are asked for (--enable-aggregator-routing), EndpointSlices. The API server stands
outside the cluster's DNS, so it goes to the ClusterIP and verifies the certificate for `<name>.<namespace>.svc`.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects

_ROUTED = ("ClusterIP", "LoadBalancer", "NodePort")


class ResolveError(Exception):
    """The Service leads nowhere; the message is upstream's."""


class Place(NamedTuple):
    """What to connect to."""

    host: str
    port: int


def cluster_place(service: Object, port: int) -> Place:
    """The ClusterIP (or external name) of a Service. Raises ResolveError."""
    spec = service.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    if kind == "ExternalName":
        return Place(str(spec.get("externalName") or ""), port)
    if kind not in _ROUTED:
        raise ResolveError(f'unsupported service type "{kind}"')
    if kind == "ClusterIP" and spec.get("clusterIP") == "None":
        raise ResolveError('cannot route to service with ClusterIP "None"')
    return Place(str(spec.get("clusterIP") or ""), int(_port(service, port)["port"]))


def endpoint_places(service: Object, slices: list[Object], port: int) -> list[Place]:
    """Every ready endpoint of a Service's port. Raises ResolveError where there is none."""
    kind = (service.get("spec") or {}).get("type") or "ClusterIP"
    if kind not in _ROUTED:
        raise ResolveError(f'unsupported service type "{kind}"')
    wanted = _port(service, port).get("name") or ""
    families = (service.get("spec") or {}).get("ipFamilies") or [""]
    found: dict[bool, list[Place]] = {True: [], False: []}
    for each in slices:
        primary = each.get("addressType") == families[0]
        numbers = [int(p["port"]) for p in each.get("ports") or [] if (p.get("name") or "") == wanted and p.get("port")]
        for endpoint in each.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                addresses = endpoint.get("addresses") or []
                found[primary] += [Place(address, number) for address in addresses for number in numbers]
    # The service's own family before the other (upstream's order of slices).
    places = found[True] or found[False]
    if not places:
        raise ResolveError(f'no endpoints available for service "{meta.name(service)}"')
    return places


def _port(service: Object, port: int) -> Object:
    for each in (service.get("spec") or {}).get("ports") or []:
        if int(each["port"]) == port:
            found: Object = each
            return found
    raise ResolveError(f'no service port {port} found for service "{meta.name(service)}"')


class Resolver:
    """Services by namespace, name and port. `loopback` is this server itself, which kubernetes.default is."""

    def __init__(self, catalogue: Catalogue, objects: Objects, *, by_endpoints: bool = False) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._by_endpoints = by_endpoints
        self.loopback: Place | None = None

    async def resolve(self, namespace: str, name: str, port: int) -> Place:
        """Where to connect. Raises ResolveError, StatusError where the cache can't be read."""
        if (namespace, name, port) == ("default", "kubernetes", 443) and self.loopback is not None:
            return self.loopback
        services = self._catalogue.named("services")
        item = (await self._objects.cached(services)).items.get(services.key(namespace, name))
        if item is None:
            raise ResolveError(f'service "{name}" not found')
        service = self._objects.object(services, item)
        if not self._by_endpoints or (service.get("spec") or {}).get("type") == "ExternalName":
            return cluster_place(service, port)
        return random.choice(endpoint_places(service, await self._slices(namespace, name), port))  # noqa: S311

    async def _slices(self, namespace: str, service: str) -> list[Object]:
        served = self._catalogue.named("endpointslices.discovery.k8s.io")
        prefix = served.key(namespace, "")
        cached = (await self._objects.cached(served)).items
        return [
            self._objects.object(served, item)
            for key, item in cached.items()
            if key.startswith(prefix) and item.labels.get("kubernetes.io/service-name") == service
        ]
