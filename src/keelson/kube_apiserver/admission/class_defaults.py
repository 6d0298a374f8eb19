"""DefaultStorageClass and DefaultIngressClass: what names no class gets the cluster's default one.

Reads storageclasses and ingressclasses; writes spec.storageClassName of claims and spec.ingressClassName of ingresses.
"""

from __future__ import annotations

from keelson.api import meta, volume_claims
from keelson.kube_apiserver.admission.chains import CREATE, Attributes
from keelson.kube_apiserver.admission.lookups import Lookups

_DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
_OLD_INGRESS = "kubernetes.io/ingress.class"


class DefaultStorageClass:
    """The plugin."""

    name = "DefaultStorageClass"
    subjects = frozenset({"persistentvolumeclaims"})

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Name the default class in a claim that names none; the empty name asks for no class."""
        claim = attributes.object
        if attributes.qualified != "persistentvolumeclaims" or attributes.operation != CREATE or claim is None:
            return
        if not volume_claims.names_no_class(claim):
            return
        found = volume_claims.default_class(await self._lookups.list("storageclasses.storage.k8s.io"))
        if found is not None:
            claim.setdefault("spec", {})["storageClassName"] = meta.name(found)


class DefaultIngressClass:
    """The plugin."""

    name = "DefaultIngressClass"
    subjects = frozenset({"ingresses.networking.k8s.io"})

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Name the default class in an ingress that names none."""
        ingress = attributes.object
        if attributes.qualified != "ingresses.networking.k8s.io" or attributes.operation != CREATE or ingress is None:
            return
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or _OLD_INGRESS in meta.annotations(ingress):
            return
        classes = await self._lookups.list("ingressclasses.networking.k8s.io")
        found = [each for each in classes if meta.annotations(each).get(_DEFAULT_INGRESS) == "true"]
        # The newest wins, and of two that are as new the first by name.
        found.sort(key=meta.name)
        found.sort(key=lambda each: str(meta.metadata(each).get("creationTimestamp") or ""), reverse=True)
        if found:
            spec["ingressClassName"] = meta.name(found[0])
