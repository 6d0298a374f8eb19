"""Brings what every cluster has into the store, at every start and by every instance, without harm if it is there.

Roles and bindings are reconciled: what the defaults state and the stored object lacks is added, unless the object says
`rbac.authorization.kubernetes.io/autoupdate: "false"`. Everything else is created where it is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.authentication.legacy_tokens import TRACKING
from keelson.kube_apiserver.authorization.rbac import covers
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from . import policies, published_trust

log = logging.getLogger(__name__)

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_RBAC = "rbac.authorization.k8s.io"

_PRIORITY_CLASSES = {
    "system-node-critical": (
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
}  # fmt: skip


class Reconciler:
    """Writes the defaults through the road of every write, as the server itself."""

    def __init__(self, catalogue: Catalogue, objects: Objects) -> None:
        self._catalogue = catalogue
        self._objects = objects

    def context(self, served: Served, verb: str) -> Context:
        """The context of a write by the server itself."""
        resource = served.resource
        info = RequestInfo(True, verb, "", resource.group, resource.version, resource=resource.plural)
        return Context(LOOPBACK, info, datetime.now(UTC), manager="kube-apiserver")

    async def ensure(self, qualified: str, obj: Object) -> None:
        """Create the object where it is missing."""
        served = self._catalogue.named(qualified)
        namespace = meta.namespace(obj)
        collection = await self._objects.cached(served)
        if served.key(namespace, meta.name(obj)) in collection.items:
            return
        try:
            await self._objects.create(self.context(served, "create"), served, namespace, obj)
        except errors.StatusError as error:
            # Another instance was faster.
            if error.reason != "AlreadyExists":
                raise

    async def namespaces(self) -> None:
        """The namespaces of the system."""
        for name in NAMESPACES:
            await self.ensure("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def priority_classes(self) -> None:
        """The two priority classes of the system."""
        for name, (value, description) in _PRIORITY_CLASSES.items():
            obj: Object = {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": value,
                "description": description,
            }
            await self.ensure("priorityclasses.scheduling.k8s.io", obj)

    async def service_cidr(self, networks: list[str]) -> None:
        """The ServiceCIDR of the flags, ready from the start."""
        served = self._catalogue.named("servicecidrs.networking.k8s.io")
        obj: Object = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": networks},
        }
        await self.ensure(served.resource.qualified, obj)

        def ready(obj: Object) -> Object:
            if meta.condition_is(obj, "Ready"):
                return obj
            conditions = meta.with_condition(
                meta.conditions(obj), type_="Ready", status="True", now=datetime.now(UTC), reason="",
                message="Kubernetes default Service CIDR is ready",
            )  # fmt: skip
            obj["status"] = {"conditions": conditions}
            return obj

        context = self.context(served, "update")
        await self._objects.update(context, served, "", "kubernetes", ready, subresource="status")

    async def authentication(self, data: dict[str, str]) -> None:
        """The ConfigMap from which extension servers learn to trust this one's front proxy."""
        served = self._catalogue.named("configmaps")
        namespace, name = "kube-system", "extension-apiserver-authentication"
        metadata = {"name": name, "namespace": namespace}
        await self.ensure("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

        def change(obj: Object) -> Object:
            obj["data"] = published_trust.combined(obj.get("data") or {}, data, datetime.now(UTC))
            return obj

        await self._objects.update(self.context(served, "update"), served, namespace, name, change)

    async def token_tracking(self) -> None:
        """The ConfigMap that says since when the use of tokens in Secrets is noted down (KEP-2799)."""
        since = datetime.now(UTC).strftime("%Y-%m-%d")
        metadata = {"name": TRACKING, "namespace": "kube-system"}
        await self.ensure(
            "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"since": since}}
        )

    async def policy(self) -> None:
        """The default roles and bindings."""
        for qualified, defaults in (
            (f"clusterroles.{_RBAC}", policies.cluster_roles()),
            (f"clusterrolebindings.{_RBAC}", policies.cluster_role_bindings()),
            (f"roles.{_RBAC}", policies.roles()),
            (f"rolebindings.{_RBAC}", policies.role_bindings()),
        ):
            await self._reconcile(self._catalogue.named(qualified), defaults)

    async def _reconcile(self, served: Served, defaults: Iterable[Object]) -> None:
        collection = await self._objects.fresh(served)
        for wanted in defaults:
            namespace, name = meta.namespace(wanted), meta.name(wanted)
            item = collection.items.get(served.key(namespace, name))
            if item is None:
                await self.ensure(served.resource.qualified, wanted)
                continue
            stored = self._objects.object(served, item)
            if _merged(stored, wanted) is None:
                continue

            def change(obj: Object, wanted: Object = wanted) -> Object:
                return _merged(obj, wanted) or obj

            log.info("%s %s lacks part of its default and is completed", served.resource.kind, name)
            await self._objects.update(self.context(served, "update"), served, namespace, name, change)


def _merged(stored: Object, wanted: Object) -> Object | None:
    """The stored object with what the default adds, None where nothing is missing or it refuses to be updated."""
    if meta.annotations(stored).get(_AUTOUPDATE) == "false":
        return None
    new = {**stored}
    changed = False
    if "rules" in wanted:
        missing = covers(stored.get("rules") or [], wanted["rules"] or [])
        # Aggregated roles take their rules from others, by their controller.
        if missing and "aggregationRule" not in stored:
            new["rules"] = [*(stored.get("rules") or []), *missing]
            changed = True
    elif wanted.get("roleRef") == stored.get("roleRef"):
        have = [_subject(each) for each in stored.get("subjects") or ()]
        missing_subjects = [each for each in wanted.get("subjects") or () if _subject(each) not in have]
        if missing_subjects:
            new["subjects"] = [*(stored.get("subjects") or []), *missing_subjects]
            changed = True
    return new if changed else None


def _subject(subject: Object) -> tuple[str, str, str]:
    return subject.get("kind") or "", subject.get("namespace") or "", subject.get("name") or ""
