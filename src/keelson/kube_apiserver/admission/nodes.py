"""What kubelets may not write: NodeRestriction; and TaintNodesByCondition for nodes that register.

Rules: Kubernetes documentation, "Admission Control in Kubernetes" (NodeRestriction) and "Well-Known Labels".
"""

from __future__ import annotations

from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.authorization.nodes import node_name

from .chains import CREATE, DELETE, UPDATE, Attributes
from .lookups import Lookups

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_RESTRICTED = "node-restriction.kubernetes.io"
_MIRROR = "kubernetes.io/config.mirror"
_POD = "authentication.kubernetes.io/"
# Labels in the kubernetes.io and k8s.io domains that a kubelet may set on its node.
_OWN_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "node.kubernetes.io/windows-build",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
    )
)
_OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")


class TaintNodesByCondition:
    """A new node takes no pods before it said that it is ready."""

    name = "TaintNodesByCondition"

    async def mutate(self, attributes: Attributes) -> None:
        """Add the not-ready taint."""
        node = attributes.object
        if attributes.operation != CREATE or attributes.qualified != "nodes" or node is None:
            return
        taints = node.setdefault("spec", {}).setdefault("taints", [])
        if not any((t.get("key"), t.get("effect")) == (_NOT_READY["key"], _NOT_READY["effect"]) for t in taints):
            taints.append(dict(_NOT_READY))


class NodeRestriction:
    """A kubelet changes its own node, lease and CSINode, and its own pods' status, and nothing more."""

    name = "NodeRestriction"

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def validate(self, attributes: Attributes) -> None:
        """Refuse with 403 what is not the node's own."""
        user = attributes.context.user
        node = node_name(user)
        if not node:
            return
        match attributes.qualified:
            case "pods":
                await self._pod(attributes, node)
            case "pods/status" | "pods/eviction":
                await self._own_pod(attributes, node)
            case "nodes" | "nodes/status":
                self._node(attributes, node)
            case "serviceaccounts/token":
                await self._token(attributes, node)
            case "leases.coordination.k8s.io" | "csinodes.storage.k8s.io":
                name = meta.name(attributes.object) if attributes.object is not None else attributes.name
                if name != node:
                    raise _refused(attributes, f"can only access {attributes.resource.singular} with the node's name")

    async def _pod(self, attributes: Attributes, node: str) -> None:
        if attributes.operation == DELETE:
            await self._own_pod(attributes, node)
            return
        pod = attributes.object
        if attributes.operation != CREATE or pod is None:
            raise _refused(attributes, "can only create mirror pods and delete its own pods")
        spec = pod["spec"]
        if _MIRROR not in meta.annotations(pod):
            raise _refused(
                attributes, f'pod does not have "{_MIRROR}" annotation, node "{node}" creates only mirror pods'
            )
        if spec.get("nodeName") != node:
            raise _refused(attributes, f'node "{node}" can only create pods with spec.nodeName set to itself')
        owners = meta.owners(pod)
        if len(owners) != 1 or (owners[0].get("kind"), owners[0].get("name")) != ("Node", node):
            raise _refused(attributes, f'node "{node}" can only create pods owned by itself')
        for volume in spec.get("volumes") or []:
            if set(volume) & {"secret", "configMap", "persistentVolumeClaim", "projected"}:
                raise _refused(attributes, "mirror pods reference neither secrets, config maps, claims nor tokens")
        if spec.get("serviceAccountName"):
            raise _refused(attributes, "mirror pods have no service account")

    async def _own_pod(self, attributes: Attributes, node: str) -> None:
        pod = attributes.old or await self._lookups.get("pods", attributes.namespace, attributes.name)
        if pod is None:
            # The write itself will say that there is none.
            return
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise _refused(attributes, f'node "{node}" can only change pods with spec.nodeName set to itself')
        changed = attributes.object if attributes.qualified == "pods/status" else None
        if changed is not None and meta.labels(changed) != meta.labels(pod):
            raise _refused(attributes, "cannot update labels through pod status")

    def _node(self, attributes: Attributes, node: str) -> None:
        obj = attributes.object
        name = meta.name(obj) if obj is not None else attributes.name
        if attributes.operation == DELETE:
            raise _refused(attributes, f'node "{node}" may not delete nodes')
        if name != node:
            raise _refused(attributes, f'node "{node}" is not allowed to modify node "{name}"')
        if obj is None:
            return
        old: Object = attributes.old or {}
        changed = _changed(meta.labels(old), meta.labels(obj))
        forbidden = sorted(key for key in changed if not _is_own_label(key))
        if forbidden:
            raise _refused(attributes, f"is not allowed to modify labels: {', '.join(forbidden)}")
        if attributes.operation == UPDATE:
            spec, before = obj.get("spec") or {}, old.get("spec") or {}
            if spec.get("taints") != before.get("taints"):
                raise _refused(attributes, "is not allowed to modify taints")
            if meta.owners(obj) != meta.owners(old):
                raise _refused(attributes, "is not allowed to modify ownerReferences")

    async def _token(self, attributes: Attributes, node: str) -> None:
        bound = ((attributes.object or {}).get("spec") or {}).get("boundObjectRef") or {}
        if bound.get("kind") != "Pod" or not bound.get("uid"):
            raise _refused(attributes, "a node requests tokens bound to a pod, by its UID")
        pod = await self._lookups.get("pods", attributes.namespace, str(bound.get("name") or ""))
        if pod is None or meta.uid(pod) != bound["uid"]:
            raise _refused(attributes, "the pod that the token is bound to does not exist")
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise _refused(attributes, "the token is bound to a pod of another node")
        if ((pod.get("spec") or {}).get("serviceAccountName") or "default") != attributes.name:
            raise _refused(attributes, "the pod does not run as this service account")


def _changed(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    return {key for key in {*old, *new} if old.get(key) != new.get(key)}


def _is_own_label(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    if domain == _RESTRICTED or domain.endswith(f".{_RESTRICTED}"):
        return False
    if not any(domain == d or domain.endswith(f".{d}") for d in ("kubernetes.io", "k8s.io")):
        return True
    return key in _OWN_LABELS or any(domain == d or domain.endswith(f".{d}") for d in _OWN_DOMAINS)


def _refused(attributes: Attributes, why: str) -> errors.StatusError:
    name = attributes.name or (meta.name(attributes.object) if attributes.object is not None else "")
    return errors.forbidden(attributes.resource.plural, name, why, group=attributes.resource.group)
