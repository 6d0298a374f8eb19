"""The default ClusterRoles, Roles and bindings for users, nodes and components ("Using RBAC Authorization").

Controllers' roles are in `controller_policies`. The rules are upstream's for v1.36; the reconciler (`reconcilers`) adds
what is missing at every start, and leaves alone what carries `rbac.authorization.kubernetes.io/autoupdate: "false"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelson.api.meta import Object

from . import controller_policies
from .rules import EVENTS, EVERYTHING, READ, WRITE, paths, rule

_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_GROUP = "rbac.authorization.k8s.io"
_API = f"{_GROUP}/v1"

_POD_ACCESS = "pods/attach pods/exec pods/portforward pods/proxy"
_WORKLOADS = (
    "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
    "statefulsets/scale"
)
_WORKLOADS_READ = (
    "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
    "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status"
)

# Each role's rules; three of them are put together out of the aggregated ones below.
_VIEW = [
    rule(
        READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
    ),
    rule(
        READ,
        "core",
        "bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
    ),
    rule(READ, "core", "namespaces"),
    rule(READ, "core events.k8s.io", "events"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(READ, "apps", _WORKLOADS_READ),
    rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    # A group that is served no more; aggregated roles of old clusters still name it.
    rule(
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "
        "networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
    ),
    rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
]
_EDIT = [
    rule(READ, "core", f"{_POD_ACCESS} secrets services/proxy"),
    rule("impersonate", "core", "serviceaccounts"),
    rule(WRITE, "core", f"pods {_POD_ACCESS}"),
    rule("create", "core", "pods/eviction"),
    rule(
        WRITE,
        "core",
        "configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
    ),
    rule("create", "core", "serviceaccounts/token"),
    rule(WRITE, "core events.k8s.io", "events"),
    rule(WRITE, "apps", _WORKLOADS),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "cronjobs jobs"),
    rule(
        WRITE,
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets "
        "replicasets/scale replicationcontrollers/scale",
    ),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    rule("create delete deletecollection get list patch update watch", "coordination.k8s.io", "leases"),
    rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
]
_ADMIN = [
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    rule("create delete deletecollection get list patch update watch", _GROUP, "rolebindings roles"),
]
_DISCOVERY_PATHS = "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"

_NODE = [
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    rule(READ, "core", "services"),
    rule("create get list watch", "core", "nodes"),
    rule("patch update", "core", "nodes/status"),
    rule("patch update", "core", "nodes"),
    rule(READ, "core", "pods"),
    rule("create delete", "core", "pods"),
    rule("patch update", "core", "pods/status"),
    rule("create", "core", "pods/eviction"),
    rule(READ, "core", "configmaps secrets"),
    rule("get", "core", "persistentvolumeclaims persistentvolumes"),
    rule("get", "core", "endpoints"),
    rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    rule("create delete get patch update", "coordination.k8s.io", "leases"),
    rule("get", "storage.k8s.io", "volumeattachments"),
    rule("create", "core", "serviceaccounts/token"),
    rule("get patch update", "core", "persistentvolumeclaims/status"),
    rule(READ, "storage.k8s.io", "csidrivers"),
    rule("create delete get patch update", "storage.k8s.io", "csinodes"),
    rule(READ, "node.k8s.io", "runtimeclasses"),
    rule("get", "resource.k8s.io", "resourceclaims"),
    rule("deletecollection", "resource.k8s.io", "resourceslices"),
    rule("get", "core", "serviceaccounts"),
    EVENTS,
]

_SCHEDULER = [
    EVENTS,
    rule("create", "coordination.k8s.io", "leases"),
    rule("get list update watch", "coordination.k8s.io", "leases", "kube-scheduler"),
    rule("create delete deletecollection get list patch update watch", "coordination.k8s.io", "leasecandidates"),
    rule(READ, "core", "nodes"),
    rule("delete get list watch", "core", "pods"),
    rule("create", "core", "bindings pods/binding"),
    rule("patch update", "core", "pods/status"),
    rule(READ, "core", "replicationcontrollers services"),
    rule(READ, "apps extensions", "replicasets"),
    rule(READ, "apps", "statefulsets"),
    rule(READ, "policy", "poddisruptionbudgets"),
    rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    rule(READ, "storage.k8s.io", "csidrivers csinodes csistoragecapacities volumeattachments"),
    rule(READ, "core", "namespaces"),
    rule(READ, "resource.k8s.io", "deviceclasses resourceslices"),
    rule("create delete", "resource.k8s.io", "resourceclaims"),
    rule("get list patch update watch", "resource.k8s.io", "resourceclaims resourceclaims/status"),
    rule("patch update", "resource.k8s.io", "resourceclaims/binding"),
    rule("update", "core", "pods/finalizers"),
]

_CONTROLLER_MANAGER = [
    EVENTS,
    rule("create", "coordination.k8s.io", "leases"),
    rule("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
    rule("create", "core", "secrets serviceaccounts"),
    rule("delete", "core", "secrets"),
    rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
    rule("update", "core", "secrets serviceaccounts"),
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    rule("list watch", "*", "*"),
    rule("create", "core", "serviceaccounts/token"),
]

_CLUSTER_ROLES: dict[str, list[Object]] = {
    "cluster-admin": EVERYTHING,
    "system:discovery": [paths("get", _DISCOVERY_PATHS)],
    "system:monitoring": [
        paths("get", "/flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /statusz"),
        rule("get", "core", "nodes/metrics"),
    ],
    "system:basic-user": [
        rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ],
    "system:public-info-viewer": [paths("get", "/healthz /livez /readyz /version /version/")],
    "system:node": _NODE,
    "system:node-problem-detector": [
        rule("get", "core", "nodes"),
        rule("patch", "core", "nodes/status"),
        EVENTS,
    ],
    "system:kubelet-api-admin": [
        rule("get list watch", "core", "nodes"),
        rule("proxy", "core", "nodes"),
        rule(
            "*",
            "core",
            "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
        ),
    ],
    "system:node-bootstrapper": [
        rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    ],
    "system:auth-delegator": [
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
    "system:kube-aggregator": [rule(READ, "core", "endpoints services")],
    "system:heapster": [
        rule(READ, "core", "events namespaces nodes pods"),
        rule(READ, "extensions", "deployments"),
    ],
    "system:kube-controller-manager": _CONTROLLER_MANAGER,
    "system:kube-dns": [rule("list watch", "core", "endpoints services")],
    "system:persistent-volume-provisioner": [
        rule("create delete get list watch", "core", "persistentvolumes"),
        rule("get list update watch", "core", "persistentvolumeclaims"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule("watch", "core", "events"),
        EVENTS,
    ],
    "system:kube-scheduler": _SCHEDULER,
    "system:volume-scheduler": [
        rule("get list patch update watch", "core", "persistentvolumes"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule("get list patch update watch", "core", "persistentvolumeclaims"),
    ],
    "system:node-proxier": [
        rule("list watch", "core", "endpoints services"),
        rule("get list watch", "core", "nodes"),
        EVENTS,
        rule("list watch", "discovery.k8s.io", "endpointslices"),
        rule("list watch", "networking.k8s.io", "servicecidrs"),
    ],
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
        rule("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
    ],
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
        rule("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
    ],
    **{
        f"system:certificates.k8s.io:{signer}-approver": [
            rule("approve", "certificates.k8s.io", "signers", f"kubernetes.io/{signer}")
        ]
        for signer in ("legacy-unknown", "kubelet-serving", "kube-apiserver-client", "kube-apiserver-client-kubelet")
    },
    "system:service-account-issuer-discovery": [
        paths("get", "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks "
                     "/openid/v1/jwks/"),
    ],
}  # fmt: skip

# (binding and role, kind of subject, name)
_BINDINGS = (
    ("cluster-admin", "Group", "system:masters"),
    ("system:monitoring", "Group", "system:monitoring"),
    ("system:discovery", "Group", "system:authenticated"),
    ("system:basic-user", "Group", "system:authenticated"),
    ("system:public-info-viewer", "Group", "system:authenticated"),
    ("system:public-info-viewer", "Group", "system:unauthenticated"),
    ("system:node-proxier", "User", "system:kube-proxy"),
    ("system:kube-controller-manager", "User", "system:kube-controller-manager"),
    ("system:kube-dns", "ServiceAccount", "kube-system/kube-dns"),
    ("system:kube-scheduler", "User", "system:kube-scheduler"),
    ("system:volume-scheduler", "User", "system:kube-scheduler"),
    ("system:service-account-issuer-discovery", "Group", "system:serviceaccounts"),
)


def _metadata(name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Object:
    made: Object = {"name": name, "labels": {**_LABELS, **(labels or {})}, "annotations": dict(_ANNOTATIONS)}
    if namespace:
        made["namespace"] = namespace
    return made


def subject(kind: str, name: str) -> Object:
    """A subject; service accounts are written "namespace/name"."""
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        return {"kind": kind, "name": account, "namespace": namespace}
    return {"kind": kind, "name": name, "apiGroup": _GROUP}


def _role(kind: str, name: str, rules: list[Object], namespace: str = "", **more: object) -> Object:
    labels = more.pop("labels", None)
    metadata = _metadata(name, namespace, labels)  # type: ignore[arg-type]
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "rules": rules, **more}


def _binding(kind: str, name: str, role_kind: str, role: str, subjects: list[Object], namespace: str = "") -> Object:
    return {
        "apiVersion": _API,
        "kind": kind,
        "metadata": _metadata(name, namespace),
        "subjects": subjects,
        "roleRef": {"apiGroup": _GROUP, "kind": role_kind, "name": role},
    }


def _aggregate(name: str, own: list[Object], into: str, rules: list[Object]) -> tuple[Object, Object]:
    """(the aggregated role, the role whose rules it takes). The rules are filled in here, not only by a controller."""
    label = f"rbac.authorization.k8s.io/aggregate-to-{name}"
    whole = _role(
        "ClusterRole",
        name,
        rules,
        aggregationRule={"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]},
        labels={f"rbac.authorization.k8s.io/aggregate-to-{into}": "true"} if into else None,
    )
    return whole, _role("ClusterRole", f"system:aggregate-to-{name}", own, labels={label: "true"})


def cluster_roles() -> list[Object]:
    """Every default ClusterRole."""
    made = [_role("ClusterRole", name, rules) for name, rules in _CLUSTER_ROLES.items()]
    made += _aggregate("view", _VIEW, "edit", _VIEW)
    made += _aggregate("edit", _EDIT, "admin", [*_EDIT, *_VIEW])
    made += _aggregate("admin", _ADMIN, "", [*_ADMIN, *_EDIT, *_VIEW])
    made += [_role("ClusterRole", name, rules) for name, rules in controller_policies.roles().items()]
    return made


def cluster_role_bindings() -> list[Object]:
    """Every default ClusterRoleBinding."""
    grouped: dict[str, list[Object]] = {}
    for role, kind, name in _BINDINGS:
        grouped.setdefault(role, []).append(subject(kind, name))
    # Nodes are authorised by the Node mode: the binding exists for upstream's sake and has no subject.
    grouped["system:node"] = []
    made = [_binding("ClusterRoleBinding", role, "ClusterRole", role, who) for role, who in grouped.items()]
    for name, account in controller_policies.accounts().items():
        who = [subject("ServiceAccount", f"kube-system/{account}")]
        made.append(_binding("ClusterRoleBinding", name, "ClusterRole", name, who))
    return made


_LEADER = "system::leader-locking-"
_SYSTEM = "kube-system"


def roles() -> list[Object]:
    """Every default Role."""
    leaders = [
        _role(
            "Role",
            f"{_LEADER}{component}",
            [rule("create get list update watch", "coordination.k8s.io", "leases leasecandidates")],
            _SYSTEM,
        )
        for component in ("kube-controller-manager", "kube-scheduler")
    ]
    return [
        *leaders,
        _role(
            "Role",
            "extension-apiserver-authentication-reader",
            [rule(READ, "core", "configmaps", "extension-apiserver-authentication")],
            _SYSTEM,
        ),
        _role("Role", "system:controller:bootstrap-signer", [rule(READ, "core", "secrets")], _SYSTEM),
        _role("Role", "system:controller:token-cleaner", [rule("delete get list watch", "core", "secrets"), EVENTS],
              _SYSTEM),
        _role("Role", "system:controller:cloud-provider", [rule("create get list watch", "core", "configmaps")],
              _SYSTEM),
        _role(
            "Role",
            "system:controller:bootstrap-signer",
            [rule(READ, "core", "configmaps"), rule("update", "core", "configmaps", "cluster-info"), EVENTS],
            "kube-public",
        ),
    ]  # fmt: skip


def role_bindings() -> list[Object]:
    """Every default RoleBinding."""

    def account(name: str) -> Object:
        return subject("ServiceAccount", f"{_SYSTEM}/{name}")

    def user(name: str) -> Object:
        return subject("User", name)

    def bound(name: str, who: list[Object], namespace: str = _SYSTEM, role: str = "") -> Object:
        return _binding("RoleBinding", name, "Role", role or name, who, namespace)

    components = [user("system:kube-controller-manager"), user("system:kube-scheduler")]
    return [
        bound(f"{_LEADER}kube-controller-manager",
              [components[0], account("kube-controller-manager"), account("leader-election-controller")]),
        bound(f"{_LEADER}kube-scheduler", [components[1], account("kube-scheduler")]),
        bound("system::extension-apiserver-authentication-reader", components,
              role="extension-apiserver-authentication-reader"),
        bound("system:controller:bootstrap-signer", [account("bootstrap-signer")]),
        bound("system:controller:token-cleaner", [account("token-cleaner")]),
        bound("system:controller:cloud-provider", [account("cloud-provider")]),
        bound("system:controller:bootstrap-signer", [account("bootstrap-signer")], "kube-public"),
    ]  # fmt: skip


def node_rules() -> list[Mapping[str, Any]]:
    """What the Node authoriser allows where its graph does not forbid it."""
    return list(_NODE)
