"""What kubelets may not write: NodeRestriction; and TaintNodesByCondition for nodes that register.

Rules: Kubernetes documentation, "Admission Control in Kubernetes" (NodeRestriction) and "Well-Known Labels".
"""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.authorization.nodes import node_name, references
from keelson.kube_apiserver.authorization.unions import Authorizer, decided
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .chains import CREATE, DELETE, Attributes
from .lookups import Lookups

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_RESTRICTED = "node-restriction.kubernetes.io"
_MIRROR = "kubernetes.io/config.mirror"
_LEASES = "kube-node-lease"
_KUBELET_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
# What a kubelet knows of a volume: how large it has become.
_CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
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
    subjects = frozenset({"nodes"})

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

    def __init__(self, lookups: Lookups, authorizer: Authorizer) -> None:
        self._lookups = lookups
        self._authorizer = authorizer

    async def mutate(self, attributes: Attributes) -> None:
        """Refuse with 403 tokens that are not for the node's pods, before their audiences get their default."""
        if attributes.qualified == "serviceaccounts/token" and (node := node_name(attributes.context.user)):
            await self._token(attributes, node)

    async def validate(self, attributes: Attributes) -> None:
        """Refuse with 403 what is not the node's own."""
        node = node_name(attributes.context.user)
        if not node:
            return
        match attributes.resource.qualified:
            case "pods":
                await self._pods(attributes, node)
            case "nodes":
                self._node(attributes, node)
            case "persistentvolumeclaims":
                _claim(attributes, node)
            case "leases.coordination.k8s.io":
                if attributes.namespace != _LEASES:
                    raise _refused(attributes, f'can only access leases in the "{_LEASES}" system namespace')
                _same_name(attributes, node, "node lease")
            case "csinodes.storage.k8s.io":
                _same_name(attributes, node, "CSINode")
            case "resourceslices.resource.k8s.io":
                _slice(attributes, node)
            case "certificatesigningrequests.certificates.k8s.io":
                _signing_request(attributes, node)

    async def _pods(self, attributes: Attributes, node: str) -> None:
        match attributes.subresource:
            case "":
                if attributes.operation == CREATE and attributes.object is not None:
                    await self._mirror_pod(attributes, attributes.object, node)
                elif attributes.operation == DELETE:
                    await self._own_pod(attributes, node, "delete pods")
                else:
                    raise _refused(attributes, f'node "{node}" can only create and delete mirror pods')
            case "status":
                await self._own_pod(attributes, node, "update pod status for pods")
                _pod_status(attributes, node)
            case "eviction":
                await self._own_pod(attributes, node, "evict pods")
            case other:
                why = f"unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed"
                raise _refused(attributes, why)

    async def _mirror_pod(self, attributes: Attributes, pod: Object, node: str) -> None:
        if _MIRROR not in meta.annotations(pod):
            why = f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods'
            raise _refused(attributes, why)
        if pod["spec"].get("nodeName") != node:
            raise _refused(attributes, f'node "{node}" can only create pods with spec.nodeName set to itself')
        owners = meta.owners(pod)
        own = f'node "{node}" can only create pods with'
        if len(owners) > 1:
            raise _refused(attributes, f"{own} a single owner reference set to itself")
        identity = [(each.get("apiVersion"), each.get("kind"), each.get("name")) for each in owners]
        if identity != [("v1", "Node", node)]:
            raise _refused(attributes, f"{own} an owner reference set to itself")
        if not owners[0].get("controller"):
            raise _refused(attributes, f"{own} a controller owner reference set to itself")
        if owners[0].get("blockOwnerDeletion"):
            why = f'node "{node}" must not set blockOwnerDeletion on an owner reference'
            raise _refused(attributes, why)
        registered = await self._lookups.get("nodes", "", node)
        if registered is None:
            raise errors.not_found("nodes", node)
        if owners[0].get("uid") != meta.uid(registered):
            why = f"node {node} UID mismatch: expected {owners[0].get('uid')} got {meta.uid(registered)}"
            raise _refused(attributes, why)
        if resource := _referenced(pod):
            raise _refused(attributes, f'node "{node}" can not create pods that reference {resource}')

    async def _own_pod(self, attributes: Attributes, node: str, doing: str) -> None:
        pod = attributes.old or await self._lookups.get("pods", attributes.namespace, attributes.name)
        # Where there is none the write itself will say so.
        if pod is not None and (pod.get("spec") or {}).get("nodeName") != node:
            raise _refused(attributes, f'node "{node}" can only {doing} with spec.nodeName set to itself')

    def _node(self, attributes: Attributes, node: str) -> None:
        obj = attributes.object
        name = meta.name(obj) if obj is not None else attributes.name
        if name != node:
            raise _refused(attributes, f'node "{node}" is not allowed to modify node "{name}"')
        if attributes.operation == DELETE:
            raise _refused(attributes, f'node "{node}" may not delete nodes')
        if obj is None:
            return
        old: Object = attributes.old or {}
        source = (obj.get("spec") or {}).get("configSource")
        changed = _changed(meta.labels(old), meta.labels(obj))
        forbidden = ", ".join(sorted(key for key in changed if not _is_own_label(key)))
        if attributes.operation == CREATE:
            if source is not None:
                why = f'node "{node}" is not allowed to create pods with a non-nil configSource'
                raise _refused(attributes, why)
            if forbidden:
                raise _refused(attributes, f'node "{node}" is not allowed to set the following labels: {forbidden}')
            return
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        if source is not None and source != before.get("configSource"):
            raise _refused(
                attributes, f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
            )
        if (spec.get("taints") or []) != (before.get("taints") or []):
            raise _refused(attributes, f'node "{node}" is not allowed to modify taints')
        if meta.owners(obj) != meta.owners(old):
            raise _refused(attributes, f'node "{node}" is not allowed to modify ownerReferences')
        if forbidden:
            raise _refused(attributes, f"is not allowed to modify labels: {forbidden}")

    async def _token(self, attributes: Attributes, node: str) -> None:
        spec = (attributes.object or {}).get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod") or not bound.get("name"):
            raise _refused(attributes, "node requested token not bound to a pod")
        if not bound.get("uid"):
            raise _refused(attributes, "node requested token with a pod binding without a uid")
        pod = await self._lookups.get("pods", attributes.namespace, str(bound["name"]))
        if pod is None:
            raise errors.not_found("pods", str(bound["name"]))
        if meta.uid(pod) != bound["uid"]:
            why = (
                f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record. The object "
            )
            raise _refused(attributes, why + "might have been deleted and then recreated")
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise _refused(attributes, "node requested token bound to a pod scheduled on a different node")
        if ((pod.get("spec") or {}).get("serviceAccountName") or "default") != attributes.name:
            raise _refused(attributes, "the pod does not run as this service account")
        await self._audience(attributes, pod, list(spec.get("audiences") or ()))

    async def _audience(self, attributes: Attributes, pod: Object, audiences: list[str]) -> None:
        """A token for whom? Only for those whom the pod's volumes name, or whom RBAC grants (KEP-4935)."""
        if len(audiences) > 1:
            raise _refused(attributes, "node may only request 0 or 1 audiences")
        audience = audiences[0] if audiences else ""
        if await self._names_audience(pod, audience):
            return
        user = attributes.context.user
        verb = "request-serviceaccounts-token-audience"
        info = RequestInfo(True, verb, "", "", "v1", attributes.namespace, audience, "", attributes.name)
        if not (await decided(self._authorizer, user, info)).allowed:
            why = (
                f'audience "{audience}" not found in pod spec volume, {user.name} is not authorized to request tokens '
            )
            raise _refused(attributes, why + "for this audience")

    async def _names_audience(self, pod: Object, audience: str) -> bool:
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                token = source.get("serviceAccountToken")
                if token is not None and (token.get("audience") or "") == audience:
                    return True
            driver = await self._driver(pod, volume)
            found = await self._lookups.get("csidrivers.storage.k8s.io", "", driver) if driver else None
            requests = ((found or {}).get("spec") or {}).get("tokenRequests") or ()
            if any((request.get("audience") or "") == audience for request in requests):
                return True
        return False

    async def _driver(self, pod: Object, volume: Object) -> str:
        """The CSI driver behind a pod's volume, "" where none."""
        if volume.get("csi"):
            return str(volume["csi"].get("driver") or "")
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if volume.get("ephemeral"):
            name = f"{meta.name(pod)}-{volume.get('name')}"
        claim = await self._lookups.get("persistentvolumeclaims", meta.namespace(pod), name) if name else None
        bound = ((claim or {}).get("spec") or {}).get("volumeName")
        found = await self._lookups.get("persistentvolumes", "", bound) if bound else None
        return str((((found or {}).get("spec") or {}).get("csi") or {}).get("driver") or "")


def _same_name(attributes: Attributes, node: str, what: str) -> None:
    name = meta.name(attributes.object) if attributes.object is not None else attributes.name
    if name != node:
        raise _refused(attributes, f"can only access {what} with the same name as the requesting node")


def _pod_status(attributes: Attributes, node: str) -> None:
    new, old = attributes.object, attributes.old
    if new is None or old is None:
        return
    if meta.labels(new) != meta.labels(old):
        raise _refused(attributes, f'node "{node}" cannot update labels through pod status')
    after, before = new.get("status") or {}, old.get("status") or {}
    if (after.get("resourceClaimStatuses") or []) != (before.get("resourceClaimStatuses") or []):
        raise _refused(attributes, f'node "{node}" cannot update resource claim statues')
    if after.get("extendedResourceClaimStatus") != before.get("extendedResourceClaimStatus"):
        raise _refused(attributes, f'node "{node}" cannot update extended resource claim status')


def _claim(attributes: Attributes, node: str) -> None:
    new, old = attributes.object, attributes.old
    if attributes.subresource != "status" or new is None or old is None:
        raise _refused(attributes, "may only update PVC status")

    def rest(claim: Object) -> Object:
        head = {k: v for k, v in meta.metadata(claim).items() if k not in ("resourceVersion", "managedFields")}
        status = {k: v for k, v in (claim.get("status") or {}).items() if k not in _CLAIM_STATUS}
        return {"metadata": head, "spec": claim.get("spec"), "status": status}

    if rest(new) != rest(old):
        why = f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        raise _refused(attributes, why)


def _slice(attributes: Attributes, node: str) -> None:
    obj = {CREATE: attributes.object, DELETE: attributes.old}.get(attributes.operation)
    if obj is not None and (obj.get("spec") or {}).get("nodeName") != node:
        verb = attributes.operation.lower()
        raise _refused(attributes, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")


def _signing_request(attributes: Attributes, node: str) -> None:
    spec = (attributes.object or {}).get("spec") or {}
    if attributes.operation != CREATE or spec.get("signerName") not in _KUBELET_SIGNERS:
        return
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(str(spec.get("request") or "")))
    except ValueError as error:
        raise _refused(attributes, f"unable to parse csr: {error}") from error
    names = [each.value for each in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [f"system:node:{node}"]:
        raise _refused(attributes, f"can only create a node CSR with CN=system:node:{node}")


def _referenced(pod: Object) -> str:
    """Which other object of the API a pod refers to, "" where none: a mirror pod must not make them readable."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    # Of what containers and volumes name, secrets are told before all else.
    found = {resource for resource, _, _ in references(pod)}
    for resource in ("secrets", "configmaps", "persistentvolumeclaims"):
        if resource in found:
            return resource
    if spec.get("resourceClaims"):
        return "resourceclaims"
    for volume in spec.get("volumes") or ():
        for kind, resource in (
            ("csi", "csidrivers (via CSI volumes)"),
            ("glusterfs", "endpoints"),
            ("azureFile", "secrets"),
        ):
            if volume.get(kind) is not None:
                return resource
        for source in (volume.get("projected") or {}).get("sources") or ():
            if any(source.get(kind) is not None for kind in source if kind != "downwardAPI"):
                return "serviceaccounts (via projected volumes)" if "serviceAccountToken" in source else "other objects"
    return ""


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
