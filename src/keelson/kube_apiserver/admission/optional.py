"""Plugins that are off unless --enable-admission-plugins names them ("Admission Control in Kubernetes").

Small ones, together: AlwaysDeny, AlwaysPullImages, DenyServiceExternalIPs, ExtendedResourceToleration,
LimitPodHardAntiAffinityTopology, NamespaceExists, OwnerReferencesPermissionEnforcement.
"""

from __future__ import annotations

from collections.abc import Iterator

from keelson.api import errors, meta, resources
from keelson.api.meta import Object
from keelson.kube_apiserver.authorization.unions import Authorizer, decided
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .chains import CREATE, UPDATE, Attributes
from .lookups import Lookups

_HOSTNAME = "kubernetes.io/hostname"


def _pod(attributes: Attributes) -> Object | None:
    written = attributes.operation in (CREATE, UPDATE) and attributes.qualified == "pods"
    return attributes.object if written else None


def _containers(pod: Object) -> Iterator[tuple[str, Object]]:
    """(field path, container) of all containers."""
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(pod["spec"].get(field) or ()):
            yield f"spec.{field}[{index}]", container


class AlwaysDeny:
    """Nothing is admitted: for tests of what stands before."""

    name = "AlwaysDeny"

    async def validate(self, attributes: Attributes) -> None:
        """Refuse with 403."""
        resource = attributes.resource
        why = "admission control is denying all modifications"
        raise errors.forbidden(resource.plural, attributes.name, why, group=resource.group)


class AlwaysPullImages:
    """Whoever runs an image has shown that he may pull it: no use of what another pod left on the node."""

    name = "AlwaysPullImages"

    async def mutate(self, attributes: Attributes) -> None:
        """Set the pull policy of containers and image volumes, where images are new."""
        pod = _images(attributes)
        if pod is None:
            return
        for _, container in _containers(pod):
            container["imagePullPolicy"] = "Always"
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("image") is not None:
                volume["image"]["pullPolicy"] = "Always"

    async def validate(self, attributes: Attributes) -> None:
        """Refuse what a later step changed back."""
        pod = _images(attributes)
        for path, container in _containers(pod) if pod is not None else ():
            policy = container.get("imagePullPolicy")
            if policy != "Always":
                why = f'{path}.imagePullPolicy: Unsupported value: "{policy}": supported values: "Always"'
                raise errors.forbidden("pods", attributes.name, why)


def _images(attributes: Attributes) -> Object | None:
    """The pod whose images are to be looked at: an update that brings none is left alone."""
    ephemeral = attributes.operation == UPDATE and attributes.qualified == "pods/ephemeralcontainers"
    pod = attributes.object if ephemeral else _pod(attributes)
    if pod is None or attributes.old is None:
        return pod
    known = {container.get("image") for _, container in _containers(attributes.old)}
    return pod if any(container.get("image") not in known for _, container in _containers(pod)) else None


class DenyServiceExternalIPs:
    """No Service claims addresses that are not the cluster's to give (CVE-2020-8554)."""

    name = "DenyServiceExternalIPs"

    async def validate(self, attributes: Attributes) -> None:
        """Refuse external IPs that the service did not have before."""
        if attributes.qualified != "services" or attributes.object is None:
            return
        new = set((attributes.object.get("spec") or {}).get("externalIPs") or ())
        if new - set(((attributes.old or {}).get("spec") or {}).get("externalIPs") or ()):
            why = "Use of external IPs is denied by admission control"
            raise errors.forbidden("services", attributes.name, why)


class ExtendedResourceToleration:
    """A pod that asks for an extended resource tolerates the taint by which nodes are kept for such pods."""

    name = "ExtendedResourceToleration"

    async def mutate(self, attributes: Attributes) -> None:
        """Add the tolerations, one a resource."""
        pod = _pod(attributes)
        if pod is None:
            return
        names = {
            name
            for path, container in _containers(pod)
            if not path.startswith("spec.ephemeral")
            for name in (container.get("resources") or {}).get("requests") or ()
            if "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")
        }
        stated = pod["spec"].get("tolerations") or []
        for name in sorted(names):
            toleration = {"key": name, "operator": "Exists", "effect": "NoSchedule"}
            if toleration not in stated:
                pod["spec"]["tolerations"] = stated = [*stated, toleration]


class LimitPodHardAntiAffinityTopology:
    """No pod keeps others from more than its own node."""

    name = "LimitPodHardAntiAffinityTopology"

    async def validate(self, attributes: Attributes) -> None:
        """Refuse required anti-affinity over any other topology."""
        pod = _pod(attributes)
        if pod is None:
            return
        terms = ((pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution"
        ) or ()
        for term in terms:
            if term.get("topologyKey") != _HOSTNAME:
                why = (
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {term.get('topologyKey')} but "
                )
                raise errors.forbidden("pods", attributes.name, f"{why}only key {_HOSTNAME} is allowed")


class NamespaceExists:
    """Nothing is written into a namespace that does not exist, updates and deletions included."""

    name = "NamespaceExists"

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def validate(self, attributes: Attributes) -> None:
        """404 where there is no such namespace."""
        if not attributes.namespace or attributes.resource.qualified == "namespaces":
            return
        if await self._lookups.get("namespaces", "", attributes.namespace) is None:
            raise errors.not_found("namespaces", attributes.namespace)


class OwnerReferencesPermissionEnforcement:
    """Who names an owner decides what is deleted with it, and by blockOwnerDeletion whether the owner can be."""

    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, attributes: Attributes) -> None:
        """Refuse other owners to whom may not delete the object, blocking ones to whom may not finalize the owner."""
        if attributes.operation not in (CREATE, UPDATE) or attributes.object is None:
            return
        if attributes.qualified in ("pods/status", "pods/binding"):
            return
        new, old = meta.owners(attributes.object), meta.owners(attributes.old or {})
        if new == old:
            return
        resource = attributes.resource
        if attributes.operation == UPDATE:
            name = attributes.name
            if not await self._may(attributes, "delete", resource.group, resource.plural, attributes.subresource, name):
                why = "cannot set an ownerRef on a resource you can't delete: , <nil>"
                raise errors.forbidden(resource.plural, name, why, group=resource.group)
        before = {owner.get("uid") for owner in old if owner.get("blockOwnerDeletion")}
        blocking = [owner for owner in new if owner.get("blockOwnerDeletion") and owner.get("uid") not in before]
        if not blocking or await self._may(attributes, "update", "*", "*", "finalizers", "*"):
            return
        for owner in blocking:
            await self._check_owner(attributes, owner)

    async def _check_owner(self, attributes: Attributes, owner: Object) -> None:
        resource = attributes.resource
        version, kind = str(owner.get("apiVersion") or ""), str(owner.get("kind") or "")
        found = resources.of_kind(version, kind)
        group = version.rpartition("/")[0]
        # Of custom kinds the plural is not known here: whoever may finalize all of the group's resources may it.
        plural = found.plural if found is not None else "*"
        if not await self._may(attributes, "update", group, plural, "finalizers", str(owner.get("name") or "")):
            why = (
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: "
            )
            raise errors.forbidden(resource.plural, attributes.name, f"{why}, <nil>", group=resource.group)

    async def _may(
        self, attributes: Attributes, verb: str, group: str, plural: str, subresource: str, name: str
    ) -> bool:
        namespace = "" if name == "*" else attributes.namespace
        info = RequestInfo(True, verb, "", group, "*", namespace, plural, subresource, name)
        return (await decided(self._authorizer, attributes.context.user, info)).allowed is True
