"""The default ClusterRoles of controllers: `system:controller:NAME`, each bound to its account in kube-system."""

from __future__ import annotations

from keelson.api.meta import Object

from .rules import EVENTS, READ, rule

_PREFIX = "system:controller:"
_SILENT = frozenset(
    {
        "clusterrole-aggregation-controller",
        "legacy-service-account-token-cleaner",
        "namespace-controller",
        "pod-garbage-collector",
    }
)

_ROLES: dict[str, list[Object]] = {
    "attachdetach-controller": [
        rule("list watch", "core", "persistentvolumeclaims persistentvolumes"),
        rule(READ, "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        rule("list watch", "core", "pods"),
        rule("create delete get list watch", "storage.k8s.io", "volumeattachments"),
        rule(READ, "storage.k8s.io", "csidrivers csinodes"),
    ],
    "clusterrole-aggregation-controller": [
        rule("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles"),
    ],
    "cronjob-controller": [
        rule("get list update watch", "batch", "cronjobs"),
        rule("create delete get list patch update watch", "batch", "jobs"),
        rule("update", "batch", "cronjobs/status cronjobs/finalizers"),
        rule("delete list watch", "core", "pods"),
    ],
    "daemon-set-controller": [
        rule(READ, "apps extensions", "daemonsets"),
        rule("update", "apps extensions", "daemonsets/status daemonsets/finalizers"),
        rule("list watch", "core", "nodes"),
        rule("create delete list patch watch", "core", "pods"),
        rule("create", "core", "pods/binding"),
        rule("create delete get list patch update watch", "apps", "controllerrevisions"),
    ],
    "deployment-controller": [
        rule("get list update watch", "apps extensions", "deployments"),
        rule("update", "apps extensions", "deployments/status deployments/finalizers"),
        rule("create delete get list patch update watch", "apps extensions", "replicasets"),
        rule("get list update watch", "core", "pods"),
    ],
    "device-taint-eviction-controller": [
        rule("delete get list watch", "core", "pods"),
        rule("patch update", "core", "pods/status"),
        rule(READ, "resource.k8s.io", "deviceclasses resourceclaims resourceslices"),
    ],
    "disruption-controller": [
        rule(READ, "apps extensions", "deployments replicasets"),
        rule(READ, "apps", "statefulsets"),
        rule(READ, "core", "replicationcontrollers"),
        rule(READ, "policy", "poddisruptionbudgets"),
        rule("update", "policy", "poddisruptionbudgets/status"),
        rule("patch update", "core", "pods/status"),
        rule("get", "*", "*/scale"),
    ],
    "endpoint-controller": [
        rule(READ, "core", "pods services"),
        rule("create delete get list update watch", "core", "endpoints"),
        rule("create", "core", "endpoints/restricted"),
    ],
    "endpointslice-controller": [
        rule(READ, "core", "nodes pods services"),
        rule("update", "core", "services/finalizers"),
        rule("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
    ],
    "endpointslicemirroring-controller": [
        rule(READ, "core", "endpoints services"),
        rule("update", "core", "services/finalizers endpoints/finalizers"),
        rule("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
    ],
    "ephemeral-volume-controller": [
        rule(READ, "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule("create get list watch", "core", "persistentvolumeclaims"),
    ],
    "expand-controller": [
        rule("get list patch update watch", "core", "persistentvolumes"),
        rule("patch update", "core", "persistentvolumeclaims/status"),
        rule(READ, "core", "persistentvolumeclaims"),
    ],
    "generic-garbage-collector": [
        rule("delete get list patch update watch", "*", "*"),
    ],
    "horizontal-pod-autoscaler": [
        rule(READ, "autoscaling", "horizontalpodautoscalers"),
        rule("update", "autoscaling", "horizontalpodautoscalers/status"),
        rule("get update", "*", "*/scale"),
        rule("list watch", "core", "pods"),
        rule("list watch", "metrics.k8s.io", "pods"),
        rule("get list watch", "custom.metrics.k8s.io external.metrics.k8s.io", "*"),
    ],
    "job-controller": [
        rule("get list patch update watch", "batch", "jobs"),
        rule("update", "batch", "jobs/status jobs/finalizers"),
        rule("create delete list patch watch", "core", "pods"),
    ],
    "legacy-service-account-token-cleaner": [
        rule("get", "core", "configmaps", "kube-apiserver-legacy-service-account-token-tracking"),
        rule("delete patch", "core", "secrets"),
    ],
    "namespace-controller": [
        rule("delete get list watch", "core", "namespaces"),
        rule("update", "core", "namespaces/finalize namespaces/status"),
        rule("delete deletecollection get list watch", "*", "*"),
    ],
    "node-controller": [
        rule("delete get list patch update watch", "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        rule("patch update", "core", "pods/status"),
        rule("delete get list watch", "core", "pods"),
    ],
    "persistent-volume-binder": [
        rule("create delete get list update watch", "core", "persistentvolumes"),
        rule("update", "core", "persistentvolumes/status"),
        rule("get list update watch", "core", "persistentvolumeclaims"),
        rule("update", "core", "persistentvolumeclaims/status"),
        rule("create delete get list watch", "core", "pods"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule("list watch", "core", "nodes"),
        rule("watch", "core", "events"),
    ],
    "pod-garbage-collector": [
        rule("delete list watch", "core", "pods"),
        rule(READ, "core", "nodes"),
        rule("patch", "core", "pods/status"),
    ],
    "pv-protection-controller": [rule("get list update watch", "core", "persistentvolumes")],
    "pvc-protection-controller": [
        rule("get list update watch", "core", "persistentvolumeclaims"),
        rule("update", "core", "persistentvolumeclaims/status"),
        rule(READ, "core", "pods"),
    ],
    "replicaset-controller": [
        rule("get list update watch", "apps extensions", "replicasets"),
        rule("update", "apps extensions", "replicasets/status replicasets/finalizers"),
        rule("create delete list patch watch", "core", "pods"),
    ],
    "replication-controller": [
        rule("get list update watch", "core", "replicationcontrollers"),
        rule("update", "core", "replicationcontrollers/status replicationcontrollers/finalizers"),
        rule("create delete list patch watch", "core", "pods"),
    ],
    "resource-claim-controller": [
        rule(READ, "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule("create delete get list watch", "resource.k8s.io", "resourceclaims"),
        rule("patch update", "resource.k8s.io", "resourceclaims resourceclaims/binding resourceclaims/status"),
        rule("patch update", "core", "pods/status"),
    ],
    "resourcequota-controller": [
        rule("list watch", "*", "*"),
        rule("update", "core", "resourcequotas/status"),
    ],
    "root-ca-cert-publisher": [rule("create update", "core", "configmaps")],
    "route-controller": [
        rule("list watch", "core", "nodes"),
        rule("patch", "core", "nodes/status"),
    ],
    "selinux-warning-controller": [
        rule(READ, "core", "persistentvolumeclaims persistentvolumes pods"),
        rule(READ, "storage.k8s.io", "csidrivers"),
    ],
    "service-account-controller": [rule("create", "core", "serviceaccounts")],
    "service-cidrs-controller": [
        rule("get list patch update watch", "networking.k8s.io", "servicecidrs"),
        rule("patch update", "networking.k8s.io", "servicecidrs/finalizers servicecidrs/status"),
        rule(READ, "networking.k8s.io", "ipaddresses"),
    ],
    "service-controller": [
        rule(READ, "core", "services"),
        rule("patch update", "core", "services/status"),
        rule("list watch", "core", "nodes"),
    ],
    "statefulset-controller": [
        rule("list watch", "core", "pods"),
        rule(READ, "apps", "statefulsets"),
        rule("update", "apps", "statefulsets/status statefulsets/finalizers"),
        rule("create delete get patch update", "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule("create delete get list patch update watch", "apps", "controllerrevisions"),
        rule("create get list watch", "core", "persistentvolumeclaims"),
        rule("delete update", "core", "persistentvolumeclaims"),
    ],
    "ttl-after-finished-controller": [rule("delete get list watch", "batch", "jobs")],
    "ttl-controller": [rule("list patch update watch", "core", "nodes")],
    "validatingadmissionpolicy-status-controller": [
        rule(READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
        rule("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
    ],
    "volumeattributesclass-protection-controller": [
        rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
        rule("get list update watch", "storage.k8s.io", "volumeattributesclasses"),
    ],
    "certificate-controller": [
        rule("delete get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        rule("update", "certificates.k8s.io", "certificatesigningrequests/approval certificatesigningrequests/status"),
        rule("approve", "certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
        rule(
            "sign",
            "certificates.k8s.io",
            "signers",
            "kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kube-apiserver-client "
            "kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
        ),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
}


def accounts() -> dict[str, str]:
    """Role to the service account in kube-system that it is bound to."""
    return {_PREFIX + name: name for name in _ROLES}


def roles() -> dict[str, list[Object]]:
    """Name to rules; most controllers may report events."""
    return {_PREFIX + name: rules if name in _SILENT else [*rules, EVENTS] for name, rules in _ROLES.items()}
