"""Where an aggregated server is: from the Service that its APIService names to a host and a port.

By its ClusterIP, or by one of its endpoints where this host can't reach ClusterIPs (--enable-aggregator-routing). The
Service `default/kubernetes` is this server itself.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
_ROUTED = ("ClusterIP", "LoadBalancer", "NodePort")


class ResolutionError(Exception):
    """The Service leads nowhere; the text says why."""


class Place(NamedTuple):
    """A host, by address or name, and a port."""

    host: str
    port: int


class Reference(NamedTuple):
    """spec.service of an APIService, or clientConfig.service of a webhook."""

    namespace: str
    name: str
    port: int

    @property
    def server_name(self) -> str:
        """The name that the server's certificate must have."""
        return f"{self.name}.{self.namespace}.svc"


def reference(service: Object) -> Reference:
    """The reference that such an object states; the port defaults to 443."""
    return Reference(service["namespace"], service["name"], int(service.get("port") or 443))


def _service_port(service: Object, port: int) -> Object:
    for each in (service.get("spec") or {}).get("ports") or ():
        if int(each["port"]) == port:
            found: Object = each
            return found
    raise ResolutionError(f'no service port {port} found for service "{meta.name(service)}"')


def by_cluster_ip(service: Object, port: int) -> Place:
    """The ClusterIP, or the external name. Raises ResolutionError."""
    spec = service.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    if kind == "ExternalName":
        return Place(spec.get("externalName") or "", port)
    if kind not in _ROUTED:
        raise ResolutionError(f'unsupported service type "{kind}"')
    address = spec.get("clusterIP") or "None"
    if address == "None":
        raise ResolutionError('cannot route to service with ClusterIP "None"')
    return Place(address, int(_service_port(service, port)["port"]))


def by_endpoint(service: Object, slices: Sequence[Object], port: int) -> Place:
    """One ready endpoint of the service, by chance. Raises ResolutionError."""
    spec = service.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    if kind not in _ROUTED:
        raise ResolutionError(f'unsupported service type "{kind}"')
    wanted = _service_port(service, port).get("name") or ""
    families = spec.get("ipFamilies") or [""]
    found: dict[bool, list[Place]] = {True: [], False: []}
    for each in slices:
        numbers = [int(p["port"]) for p in each.get("ports") or () if (p.get("name") or "") == wanted and p.get("port")]
        for endpoint in each.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is False or not numbers:
                continue
            # The service's own family first, as upstream.
            primary = each.get("addressType") == families[0]
            found[primary] += [Place(address, numbers[0]) for address in endpoint.get("addresses") or ()]
    places = found[True] or found[False]
    if not places:
        raise ResolutionError(f'no endpoints available for service "{meta.name(service)}"')
    return random.choice(places)  # noqa: S311 - no secret hangs on it


class Services:
    """Resolves references from the caches of Services and EndpointSlices."""

    def __init__(self, catalogue: Catalogue, objects: Objects, own: Place, *, by_endpoints: bool) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._own = own
        self._by_endpoints = by_endpoints

    async def service(self, ref: Reference) -> Object | None:
        """The Service, None where there is none."""
        served = self._catalogue.named("services")
        item = (await self._objects.cached(served)).items.get(served.key(ref.namespace, ref.name))
        return None if item is None else self._objects.object(served, item)

    async def slices(self, ref: Reference) -> list[Object]:
        """The Service's EndpointSlices."""
        served = self._catalogue.named(SLICES)
        prefix = served.key(ref.namespace, "")
        items = (await self._objects.cached(served)).items
        chosen = [i for key, i in items.items() if key.startswith(prefix) and i.labels.get(SERVICE_LABEL) == ref.name]
        return [self._objects.object(served, item) for item in chosen]

    async def place(self, ref: Reference) -> Place:
        """Where to connect. Raises ResolutionError."""
        if (ref.namespace, ref.name, ref.port) == ("default", "kubernetes", 443):
            return self._own
        service = await self.service(ref)
        if service is None:
            raise ResolutionError(f'service "{ref.name}" not found')
        if self._by_endpoints and (service.get("spec") or {}).get("type") != "ExternalName":
            return by_endpoint(service, await self.slices(ref), ref.port)
        return by_cluster_ip(service, ref.port)
