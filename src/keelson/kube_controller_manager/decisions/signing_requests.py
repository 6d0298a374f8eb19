"""Certificate signing requests: which may be approved without a person, and what each signer puts its name under.

Rules: Kubernetes documentation, "Certificates and Certificate Signing Requests" (signers and their constraints).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keelson.api import meta
from keelson.api.meta import Object

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING)

_NODE_PREFIX = "system:node:"
_NODES = "system:nodes"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a PKCS #10 request asks for: subject and subject alternative names."""

    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()

    @property
    def has_names(self) -> bool:
        """Any subject alternative name is asked for."""
        return bool(self.dns_names or self.addresses or self.emails or self.uris)


def is_pending(csr: Object) -> bool:
    """Neither approved nor denied."""
    return meta.condition(csr, "Approved") is None and meta.condition(csr, "Denied") is None


def wants_certificate(csr: Object) -> bool:
    """Approved, not denied nor failed, and not yet signed."""
    return (
        meta.condition_is(csr, "Approved")
        and meta.condition(csr, "Denied") is None
        and meta.condition(csr, "Failed") is None
        and not (csr.get("status") or {}).get("certificate")
    )


def refusal(signer: str, request: Request, usages: Iterable[str]) -> str:
    """Why the signer must not sign this request, "" where it may."""
    wanted = set(usages)
    if signer == CLIENT:
        if "system:masters" in request.organizations:
            return "a client certificate for the group system:masters is never signed"
        return "" if "client auth" in wanted and wanted <= _CLIENT_USAGES else "usages are not those of a client"
    if tuple(request.organizations) != (_NODES,):
        return f"the organization must be {_NODES} alone"
    if not request.common_name.startswith(_NODE_PREFIX):
        return f"the common name must begin with {_NODE_PREFIX}"
    if signer == KUBELET_CLIENT:
        if request.has_names:
            return "a kubelet's client certificate has no subject alternative names"
        return "" if "client auth" in wanted and wanted <= _CLIENT_USAGES else "usages are not those of a client"
    if not request.dns_names and not request.addresses:
        return "a serving certificate needs a DNS name or an IP address"
    if request.emails or request.uris:
        return "a serving certificate has neither e-mail addresses nor URIs"
    return "" if "server auth" in wanted and wanted <= _SERVER_USAGES else "usages are not those of a server"


_CLIENT_USAGES = {"key encipherment", "digital signature", "client auth"}
_SERVER_USAGES = {"key encipherment", "digital signature", "server auth"}


def approval_permission(csr: Object, request: Request) -> str:
    """The subresource of certificatesigningrequests that the requester must be allowed to create ("" for none fits).

    A node's own renewal needs `selfnodeclient`, a bootstrapping kubelet's first request `nodeclient`.
    """
    spec = csr["spec"]
    if spec["signerName"] != KUBELET_CLIENT or refusal(KUBELET_CLIENT, request, spec.get("usages") or []):
        return ""
    return "selfnodeclient" if spec.get("username") == request.common_name else "nodeclient"


def serving_refusal(csr: Object, request: Request, node: Object | None) -> str:
    """Why a kubelet's serving request is left to a person, "" where the node asks for no name but its own."""
    spec = csr["spec"]
    why = refusal(KUBELET_SERVING, request, spec.get("usages") or [])
    if why:
        return why
    if spec.get("username") != request.common_name or _NODES not in (spec.get("groups") or []):
        return "the requester is not the node that the request names"
    if node is None:
        return "the node is not registered"
    own = {found["address"] for found in (node.get("status") or {}).get("addresses") or []} | {meta.name(node)}
    foreign = sorted({*request.dns_names, *request.addresses} - own)
    return f"not addresses of the node: {', '.join(foreign)}" if foreign else ""


def node_name(request: Request) -> str:
    """The node that the common name names."""
    return request.common_name.removeprefix(_NODE_PREFIX)
