"""DefaultStorageClass and DefaultIngressClass: what names no class gets the cluster's default one.

Reads storageclasses and ingressclasses; writes spec.storageClassName of claims and spec.ingressClassName of ingresses.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.admission.chains import CREATE, Attributes
from keelson.kube_apiserver.admission.lookups import Lookups

_DEFAULT_STORAGE = "storageclass.kubernetes.io/is-default-class"
_BETA_STORAGE = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
_OLD_INGRESS = "kubernetes.io/ingress.class"


async def _defaults(lookups: Lookups, qualified: str, annotation: str) -> list[Object]:
    found = [each for each in await lookups.list(qualified) if meta.annotations(each).get(annotation) == "true"]
    # The newest wins, and of two that are as new the first by name.
    found.sort(key=meta.name)
    found.sort(key=lambda each: str(meta.metadata(each).get("creationTimestamp") or ""), reverse=True)
    return found


class DefaultStorageClass:
    """The plugin."""

    name = "DefaultStorageClass"

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def mutate(self, attributes: Attributes) -> None:
        """Name the default class in a claim that names none; the empty name asks for no class."""
        claim = attributes.object
        if attributes.qualified != "persistentvolumeclaims" or attributes.operation != CREATE or claim is None:
            return
        spec = claim.setdefault("spec", {})
        if spec.get("storageClassName") is not None or _BETA_STORAGE in meta.annotations(claim):
            return
        found = await _defaults(self._lookups, "storageclasses.storage.k8s.io", _DEFAULT_STORAGE)
        if found:
            spec["storageClassName"] = meta.name(found[0])


class DefaultIngressClass:
    """The plugin."""

    name = "DefaultIngressClass"

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
        found = await _defaults(self._lookups, "ingressclasses.networking.k8s.io", _DEFAULT_INGRESS)
        if len(found) > 1:
            why = f"{len(found)} default IngressClasses were found, only 1 allowed"
            raise errors.forbidden("ingresses", attributes.name, why, group="networking.k8s.io")
        if found:
            spec["ingressClassName"] = meta.name(found[0])
