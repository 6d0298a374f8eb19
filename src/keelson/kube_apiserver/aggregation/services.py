"""The Service that an APIService names, and its EndpointSlices, as the caches have them."""

from __future__ import annotations

from typing import NamedTuple

from keelson.api.meta import Object
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.objects import Objects

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"


class Reference(NamedTuple):
    """spec.service of an APIService."""

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


class Services:
    """Looks up what a reference names."""

    def __init__(self, catalogue: Catalogue, objects: Objects) -> None:
        self._catalogue = catalogue
        self._objects = objects

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
