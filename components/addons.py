"""What the toolkit keeps in every cluster: the roads by which nodes join, and the cluster's DNS.

Roles and bindings are those of upstream's "TLS bootstrapping"; the DNS is CoreDNS under the names that clients expect
(Service `kube-dns` in kube-system). The manifests are functions of plain values, so that a test can read them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components.resources import ClusterObjects, ControlPlaneLabels
from components.role_variables import POD_NETWORK_USER

Manifest = dict[str, Any]

BOOTSTRAP_GROUP: Final = "system:bootstrappers:keelson:default-node-token"
_RBAC: Final = "rbac.authorization.k8s.io/v1"
_CSR: Final = "system:certificates.k8s.io:certificatesigningrequests"


@dataclass(frozen=True, slots=True)
class AddonsArgs:
    """The operator's kubeconfig, the token of joining kubelets, the control plane's node names, and what the DNS is."""

    kubeconfig: pulumi.Output[str]
    bootstrap_token: pulumi.Output[str]
    control_plane: Sequence[str]
    dns_address: str
    dns_image: str
    cluster_domain: str


class Addons(pulumi.ComponentResource):
    """The objects, applied as soon as the API answers."""

    def __init__(self, resource_name: str, args: AddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("keelson:components:Addons", resource_name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.joining = ClusterObjects(
            "joining",
            kubeconfig=args.kubeconfig,
            objects=args.bootstrap_token.apply(joining),
            opts=child,
        )
        self.dns = ClusterObjects(
            "dns",
            kubeconfig=args.kubeconfig,
            objects=dns(address=args.dns_address, image=args.dns_image, domain=args.cluster_domain),
            opts=child,
        )
        self.labels = ControlPlaneLabels(
            "control-plane-labels", kubeconfig=args.kubeconfig, nodes=args.control_plane, opts=child
        )
        self.register_outputs({})


def joining(token: str) -> list[Manifest]:
    """The token's Secret, and what its bearers, the nodes and the pod network may do."""
    token_id, _, token_secret = token.partition(".")
    data = {
        "token-id": token_id,
        "token-secret": token_secret,
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": BOOTSTRAP_GROUP,
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"},
            "data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()},
        },
        _binding("keelson:kubelet-bootstrap", "system:node-bootstrapper", [_group(BOOTSTRAP_GROUP)]),
        _binding("keelson:node-autoapprove-bootstrap", f"{_CSR}:nodeclient", [_group(BOOTSTRAP_GROUP)]),
        _binding("keelson:node-autoapprove-rotation", f"{_CSR}:selfnodeclient", [_group("system:nodes")]),
        # Upstream's controller signs these and approves none; ours approves those that a node may ask for.
        _binding(
            "keelson:node-autoapprove-serving",
            "system:certificates.k8s.io:kubelet-serving-approver",
            [_account("certificate-controller")],
        ),
        # The API servers' own client certificate towards kubelets is of this group (see `components.pki`).
        _binding("keelson:kubelet-clients", "system:kubelet-api-admin", [_group("keelson:kubelet-clients")]),
        _cluster_role(
            "keelson:pod-network", [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}]
        ),
        _binding("keelson:pod-network", "keelson:pod-network", [_user(POD_NETWORK_USER)]),
    ]


def dns(*, address: str, image: str, domain: str) -> list[Manifest]:
    """CoreDNS: two replicas, on different hosts where there are two."""
    labels = {"k8s-app": "kube-dns"}
    corefile = "\n".join(
        [
            ".:53 {",
            "    errors",
            "    health {",
            "        lameduck 5s",
            "    }",
            "    ready",
            f"    kubernetes {domain} in-addr.arpa ip6.arpa {{",
            "        pods insecure",
            "        fallthrough in-addr.arpa ip6.arpa",
            "        ttl 30",
            "    }",
            "    cache 30",
            "    reload",
            "    loadbalance",
            "}",
            "",
        ]
    )
    discovered = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    core = {"apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": ["list", "watch"]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata("coredns")},
        _cluster_role("system:coredns", [core, discovered]),
        _binding(
            "system:coredns",
            "system:coredns",
            [_account("coredns")],
        ),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata("coredns"), "data": {"Corefile": corefile}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**_metadata("coredns"), "labels": labels},
            "spec": {
                "replicas": 2,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _dns_pod(image, labels)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**_metadata("kube-dns"), "labels": {**labels, "kubernetes.io/name": "CoreDNS"}},
            "spec": {
                "selector": labels,
                "clusterIP": address,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                ],
            },
        },
    ]


def _dns_pod(image: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        # The cluster's names must be there even if every plain node is lost.
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ],
        "containers": [
            {
                "name": "coredns",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["-conf", "/etc/coredns/Corefile"],
                "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "50m", "memory": "70Mi"}},
                "ports": [
                    {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                ],
                "livenessProbe": {
                    "httpGet": {"path": "/health", "port": 8080},
                    "initialDelaySeconds": 30,
                    "timeoutSeconds": 5,
                },
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "kube-system"}


def _cluster_role(name: str, rules: Sequence[dict[str, Any]]) -> Manifest:
    return {"apiVersion": _RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules)}


def _binding(name: str, role: str, subjects: Sequence[dict[str, str]]) -> Manifest:
    return {
        "apiVersion": _RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": list(subjects),
    }


def _group(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}


def _account(name: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}


def _user(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
