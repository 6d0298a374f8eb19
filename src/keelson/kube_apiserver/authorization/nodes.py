"""The mode Node: a kubelet may read what the pods on its node refer to, and write what is its own.

Credentials are `system:node:NAME` in the group `system:nodes`. A graph from the pods that are bound to nodes to what
they refer to follows the cache ("Using Node Authorization", KEP-4601 for the selectors).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keelson.api import field_selectors
from keelson.kube_apiserver.caches.collections import Change, Collection
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .rbac import Rule, allows
from .unions import NO_OPINION, Verdict

_PREFIX, _GROUP = "system:node:", "system:nodes"
_LEASES = "kube-node-lease"

# What a pod on the node makes readable, by resource of the core group (and claims of resource.k8s.io).
Reference = tuple[str, str, str]


def node_name(user: User) -> str:
    """The node that a user is, "" where he is none."""
    if _GROUP in user.groups and user.name.startswith(_PREFIX):
        return user.name[len(_PREFIX) :]
    return ""


def references(pod: Mapping[str, Any]) -> Iterator[Reference]:
    """(resource, namespace, name) of everything that a pod's kubelet has to read."""
    namespace = pod["metadata"].get("namespace") or ""
    spec = pod.get("spec") or {}
    if account := spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, account
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, secret.get("name") or ""
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _environment(container, namespace)
    for volume in spec.get("volumes") or ():
        yield from _volume(volume, namespace, pod["metadata"].get("name") or "")
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        yield "resourceclaims", namespace, status.get("resourceClaimName") or ""
    for claim in spec.get("resourceClaims") or ():
        if name := claim.get("resourceClaimName"):
            yield "resourceclaims", namespace, name


def _environment(container: Mapping[str, Any], namespace: str) -> Iterator[Reference]:
    for source in container.get("envFrom") or ():
        for field, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if field in source:
                yield resource, namespace, source[field].get("name") or ""
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for field, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if field in source:
                yield resource, namespace, source[field].get("name") or ""


def _volume(volume: Mapping[str, Any], namespace: str, pod: str) -> Iterator[Reference]:
    if "configMap" in volume:
        yield "configmaps", namespace, volume["configMap"].get("name") or ""
    if "secret" in volume:
        yield "secrets", namespace, volume["secret"].get("secretName") or ""
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", namespace, volume["persistentVolumeClaim"].get("claimName") or ""
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", namespace, f"{pod}-{volume.get('name')}"
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "configMap" in source:
            yield "configmaps", namespace, source["configMap"].get("name") or ""
        if "secret" in source:
            yield "secrets", namespace, source["secret"].get("name") or ""
    for driver in volume.values():
        # csi, cephfs, iscsi and others name their credentials alike.
        if isinstance(driver, dict):
            for field in ("secretRef", "nodePublishSecretRef"):
                if isinstance(driver.get(field), dict):
                    yield "secrets", namespace, driver[field].get("name") or ""


class Nodes:
    """The mode Node. `rules` are those of the default role system:node."""

    def __init__(
        self, pods: Collection, volumes: Collection, attachments: Collection, slices: Collection, rules: list[Rule]
    ) -> None:
        self._pods = pods
        self._volumes = volumes
        self._attachments = attachments
        self._slices = slices
        self._slice_field = slices.indexer.fields.index("spec.nodeName")
        self._rules = rules
        self._of_pod: dict[str, tuple[str, frozenset[Reference]]] = {}
        # How many pods of a node refer to a thing.
        self._counts: dict[tuple[str, Reference], int] = {}
        self._node_field = pods.indexer.fields.index("spec.nodeName")
        pods.observers.append(self._follow)

    def _follow(self, changes: list[Change] | None) -> None:
        if changes is None:
            self._of_pod.clear()
            self._counts.clear()
            for item in self._pods.items.values():
                self._add(item)
            return
        for change in changes:
            self._remove(change.told.key)
            if change.current is not None:
                self._add(change.current)

    def _remove(self, key: str) -> None:
        node, found = self._of_pod.pop(key, ("", frozenset()))
        for reference in found:
            count = self._counts[node, reference] - 1
            if count:
                self._counts[node, reference] = count
            else:
                del self._counts[node, reference]

    def _add(self, item: Item) -> None:
        node = item.fields[self._node_field]
        if not node:
            return
        found = frozenset(references(item.object("v1", "Pod")))
        self._of_pod[item.key] = (node, found)
        for reference in found:
            self._counts[node, reference] = self._counts.get((node, reference), 0) + 1

    def refers(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod on the node refers to this thing."""
        return (node, (resource, namespace, name)) in self._counts

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """Allowed where it is the node's own or is referred to by its pods; else no opinion."""
        node = node_name(user)
        if not node:
            return NO_OPINION
        if not info.is_resource:
            return NO_OPINION
        refused = self._refused(node, info)
        if refused:
            return Verdict(None, refused)
        if (info.group, info.resource) == ("resource.k8s.io", "resourceslices"):
            # What is the node's own it may change in every way; no role says so.
            return Verdict(True)
        return Verdict(any(allows(rule, info) for rule in self._rules) or None)

    def allows_any_name(self, user: User, info: RequestInfo) -> bool:
        """Nothing: what a node may read hangs on which pods it has."""
        return False

    def _refused(self, node: str, info: RequestInfo) -> str:
        """Why the graph forbids it, "" where it does not."""
        group, resource, sub = info.group, info.resource, info.subresource
        if group == "" and resource in ("secrets", "configmaps", "persistentvolumeclaims") and not sub:
            if info.verb not in ("get", "list", "watch"):
                return f"can only read resources of this type: {resource}"
            return self._unrelated(node, resource, info.namespace, info.name)
        if group == "" and resource == "persistentvolumeclaims" and sub == "status":
            return self._unrelated(node, resource, info.namespace, info.name)
        if group == "" and resource == "persistentvolumes":
            return self._volume_refused(node, info)
        if group == "resource.k8s.io" and resource == "resourceclaims":
            return self._unrelated(node, resource, info.namespace, info.name)
        if group == "" and resource == "serviceaccounts":
            if info.verb != "create" or sub != "token":
                return "can only create tokens for individual service accounts"
            return self._unrelated(node, resource, info.namespace, info.name)
        if group == "coordination.k8s.io" and resource == "leases":
            if info.namespace != _LEASES:
                return f'can only access leases in the "{_LEASES}" system namespace'
            if info.verb != "create" and info.name != node:
                return "can only access node lease with the same name as the requesting node"
        if group == "storage.k8s.io" and resource == "csinodes" and info.verb != "create" and info.name != node:
            return "can only access CSINode with the same name as the requesting node"
        if group == "storage.k8s.io" and resource == "volumeattachments":
            return self._attachment_refused(node, info)
        if group == "resource.k8s.io" and resource == "resourceslices":
            return self._slice_refused(node, info)
        reads = info.verb in ("get", "list", "watch")
        if group == "" and resource == "nodes" and not sub and reads and info.name != node:
            what = f"'{info.name}'" if info.name else "all nodes"
            return f"node '{node}' cannot read {what}, only its own Node object"
        if group == "" and resource == "pods" and not sub:
            return self._pods_refused(node, info)
        return ""

    def _unrelated(self, node: str, resource: str, namespace: str, name: str) -> str:
        if not name:
            return "No Object name found"
        if self.refers(node, resource, namespace, name):
            return ""
        return f"no relationship found between node '{node}' and this object"

    def _volume_refused(self, node: str, info: RequestInfo) -> str:
        if info.verb != "get" or info.subresource:
            return "can only get individual resources of this type"
        item = self._volumes.items.get(f"{self._volumes.prefix}{info.name}")
        if item is not None:
            claim = (item.object("v1", "PersistentVolume").get("spec") or {}).get("claimRef") or {}
            if self.refers(node, "persistentvolumeclaims", claim.get("namespace") or "", claim.get("name") or ""):
                return ""
        return f"no relationship found between node '{node}' and this object"

    def _attachment_refused(self, node: str, info: RequestInfo) -> str:
        if info.verb != "get" or info.subresource:
            return "can only get individual resources of this type"
        item = self._attachments.items.get(f"{self._attachments.prefix}{info.name}")
        spec = {} if item is None else item.object("storage.k8s.io/v1", "VolumeAttachment").get("spec") or {}
        if spec.get("nodeName") == node:
            return ""
        return f"no relationship found between node '{node}' and this object"

    def _slice_refused(self, node: str, info: RequestInfo) -> str:
        if info.subresource:
            return "cannot authorize ResourceSlice subresources"
        if info.verb in ("list", "watch", "deletecollection"):
            if _selected_node(info) != node:
                return "can only list/watch/deletecollection resourceslices with nodeName field selector"
            return ""
        if info.verb == "create":
            # Whose slice it is to be, NodeRestriction sees.
            return ""
        if info.verb not in ("get", "update", "patch", "delete"):
            return (
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, "
                "delete, deletecollection"
            )
        item = self._slices.items.get(f"{self._slices.prefix}{info.name}")
        if item is not None and item.fields[self._slice_field] == node:
            return ""
        return f"no relationship found between node '{node}' and this object"

    def _pods_refused(self, node: str, info: RequestInfo) -> str:
        if info.verb == "get":
            item = self._pods.items.get(f"{self._pods.prefix}{info.namespace}/{info.name}")
            # A pod that is not in the cache is 404 for everybody.
            if item is None or item.fields[self._node_field] == node:
                return ""
            return "can only get pods that are bound to the node"
        if info.verb in ("list", "watch") and _selected_node(info) != node:
            return "can only list/watch pods with spec.nodeName field selector"
        return ""


def _selected_node(info: RequestInfo) -> str | None:
    """The one node whose objects a request selects, None where it selects others too."""
    try:
        return field_selectors.parse(info.field_selector).exact("spec.nodeName")
    except field_selectors.FieldSelectorError:
        return None
