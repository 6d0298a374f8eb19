"""The Node authoriser: a kubelet reads only what the pods bound to its node need, and writes only what is its own.

Rules: Kubernetes documentation, "Using Node Authorization". The graph is fed with pods, persistent volume claims and
volume attachments as they change. What no graph decides is allowed by the rules of the role `system:node`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from . import bootstrap_policy
from .rbac import Rule
from .unions import ALLOWED, NO_OPINION, Verdict

PREFIX = "system:node:"
GROUP = "system:nodes"
_LEASES = "kube-node-lease"
_READS = frozenset(("get", "list", "watch"))
# Owned by the node whose name they have: (group, resource) to the verbs on them.
_OWN = {
    ("storage.k8s.io", "csinodes"): frozenset(("create", "delete", "get", "patch", "update")),
    ("coordination.k8s.io", "leases"): frozenset(("create", "delete", "get", "patch", "update")),
}

Reference = tuple[str, str, str]  # (resource, namespace, name)


def node_of(user: User) -> str:
    """The node that this user is the kubelet of, "" for others."""
    if user.name.startswith(PREFIX) and GROUP in user.groups:
        return user.name.removeprefix(PREFIX)
    return ""


def _references(pod: Object) -> Iterator[Reference]:
    """All that the pod's kubelet must be able to read for it."""
    namespace, spec = meta.namespace(pod), pod.get("spec") or {}
    yield "serviceaccounts", namespace, str(spec.get("serviceAccountName") or "default")
    for found in spec.get("imagePullSecrets") or []:
        yield "secrets", namespace, str(found.get("name") or "")
    for volume in spec.get("volumes") or []:
        yield from _volume(namespace, meta.name(pod), volume)
    kinds = ("containers", "initContainers", "ephemeralContainers")
    for container in (found for kind in kinds for found in spec.get(kind) or []):
        for source in container.get("envFrom") or []:
            yield from _pair(namespace, source.get("secretRef"), source.get("configMapRef"))
        for variable in container.get("env") or []:
            value = variable.get("valueFrom") or {}
            yield from _pair(namespace, value.get("secretKeyRef"), value.get("configMapKeyRef"))


def _volume(namespace: str, pod: str, volume: Mapping[str, Any]) -> Iterator[Reference]:
    if "secret" in volume:
        yield "secrets", namespace, str(volume["secret"].get("secretName") or "")
    if "configMap" in volume:
        yield "configmaps", namespace, str(volume["configMap"].get("name") or "")
    for source in (volume.get("projected") or {}).get("sources") or []:
        yield from _pair(namespace, source.get("secret"), source.get("configMap"))
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", namespace, str(volume["persistentVolumeClaim"].get("claimName") or "")
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", namespace, f"{pod}-{volume['name']}"
    if reference := (volume.get("csi") or {}).get("nodePublishSecretRef"):
        yield "secrets", namespace, str(reference.get("name") or "")


def _pair(namespace: str, secret: Mapping[str, Any] | None, config: Mapping[str, Any] | None) -> Iterator[Reference]:
    if secret:
        yield "secrets", namespace, str(secret.get("name") or "")
    if config:
        yield "configmaps", namespace, str(config.get("name") or "")


class NodeAuthorizer:
    """The graph from nodes through pods to what those need."""

    def __init__(self) -> None:
        # Invariant: a pod's key is in `_pods` iff its references are counted in `_reach` for its node.
        self._pods: dict[str, tuple[str, tuple[Reference, ...]]] = {}
        self._reach: dict[str, dict[Reference, int]] = {}
        # Claim to the volume that it is bound to, and node to its attachments.
        self._volumes: dict[tuple[str, str], str] = {}
        self._attachments: dict[str, str] = {}
        role = next(found for found in bootstrap_policy.cluster_roles() if meta.name(found) == "system:node")
        self._rules = tuple(Rule.of(rule) for rule in role["rules"])

    def put_pod(self, pod: Object) -> None:
        """A pod as it is now."""
        self.remove_pod(meta.key(pod))
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        if not node:
            return
        references = (*_references(pod), ("pods", meta.namespace(pod), meta.name(pod)))
        self._pods[meta.key(pod)] = node, references
        reach = self._reach.setdefault(node, {})
        for reference in references:
            reach[reference] = reach.get(reference, 0) + 1

    def remove_pod(self, key: str) -> None:
        """The pod is gone."""
        node, references = self._pods.pop(key, ("", ()))
        reach = self._reach.get(node)
        for reference in references if reach is not None else ():
            assert reach is not None
            reach[reference] -= 1
            if not reach[reference]:
                del reach[reference]
        if reach is not None and not reach:
            del self._reach[node]

    def put_claim(self, claim: Object) -> None:
        """A persistent volume claim as it is now."""
        volume = str((claim.get("spec") or {}).get("volumeName") or "")
        key = meta.namespace(claim), meta.name(claim)
        if volume:
            self._volumes[key] = volume
        else:
            self._volumes.pop(key, None)

    def remove_claim(self, claim: Object) -> None:
        """The claim is gone."""
        self._volumes.pop((meta.namespace(claim), meta.name(claim)), None)

    def put_attachment(self, attachment: Object) -> None:
        """A volume attachment as it is now."""
        self._attachments[meta.name(attachment)] = str(attachment["spec"]["nodeName"])

    def remove_attachment(self, attachment: Object) -> None:
        """The attachment is gone."""
        self._attachments.pop(meta.name(attachment), None)

    def reaches(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod bound to the node needs this object."""
        reach = self._reach.get(node) or {}
        if resource == "persistentvolumes":
            return any(
                found == "persistentvolumeclaims" and self._volumes.get((place, claim)) == name
                for found, place, claim in reach
            )
        return (resource, namespace, name) in reach

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        """Kubelets' requests; no opinion on others'."""
        node = node_of(user)
        if not node or not info.is_resource:
            return NO_OPINION
        kind = info.group, info.resource
        if kind in _OWN:
            return self._own(node, info, _OWN[kind])
        if kind == ("", "serviceaccounts"):
            return self._token(node, info)
        if kind in {("", "secrets"), ("", "configmaps")}:
            return self._read(node, info, _READS)
        if kind in {("", "persistentvolumeclaims"), ("", "persistentvolumes")}:
            return self._read(node, info, frozenset(("get",)))
        if kind == ("", "nodes"):
            return self._node(node, info)
        if kind == ("storage.k8s.io", "volumeattachments"):
            own = info.verb == "get" and self._attachments.get(info.name) == node
            return ALLOWED if own else Verdict(None, "no relationship found between the node and the attachment")
        return ALLOWED if any(rule.allows(info) for rule in self._rules) else NO_OPINION

    def _read(self, node: str, info: RequestInfo, verbs: frozenset[str]) -> Verdict:
        if info.verb not in verbs or info.subresource:
            return Verdict(None, f"a node may only {', '.join(sorted(verbs))} {info.resource}")
        if not info.name:
            return Verdict(None, "a node reads one named object at a time")
        if self.reaches(node, info.resource, info.namespace, info.name):
            return ALLOWED
        return Verdict(None, f"no relationship found between node '{node}' and this object")

    def _token(self, node: str, info: RequestInfo) -> Verdict:
        if info.verb == "create" and info.subresource == "token":
            if self.reaches(node, "serviceaccounts", info.namespace, info.name):
                return ALLOWED
            return Verdict(None, f"no relationship found between node '{node}' and this object")
        return Verdict(None, "a node may only create tokens of service accounts")

    def _own(self, node: str, info: RequestInfo, verbs: frozenset[str]) -> Verdict:
        if info.verb not in verbs or info.subresource:
            return Verdict(None, f"a node may only {', '.join(sorted(verbs))} its own {info.resource}")
        if info.resource == "leases" and info.namespace != _LEASES:
            return Verdict(None, f"a node's lease lies in the namespace {_LEASES}")
        # The name of a creation is in its body; NodeRestriction looks at it there.
        if info.verb == "create" or info.name == node:
            return ALLOWED
        return Verdict(None, f"a node may only reach its own {info.resource}")

    def _node(self, node: str, info: RequestInfo) -> Verdict:
        if info.verb in {"patch", "update"} and info.name != node:
            return Verdict(None, "a node may only change itself")
        if info.verb == "get" and info.name != node:
            return Verdict(None, "a node may only read itself")
        return ALLOWED if any(rule.allows(info) for rule in self._rules) else NO_OPINION
