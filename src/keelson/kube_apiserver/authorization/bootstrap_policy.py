"""The roles and bindings that every cluster starts with (Kubernetes documentation, "Default roles and role bindings").

A table: each rule is written as "verbs; groups; resources[; names]" or "verbs; /url /url". Groups are written as in
`apiGroups`, with `core` for "". Reconciled at start: missing rules are added, extra ones left, unless the object's
annotation `rbac.authorization.kubernetes.io/autoupdate` is "false".
"""

from __future__ import annotations

from collections.abc import Iterator

from keelson.api.meta import Object

AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_API = "rbac.authorization.k8s.io/v1"
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

_READ = "get list watch"
_WRITE = "create delete deletecollection patch update"
_EVENTS = "create patch update; core events.k8s.io; events"
_EXTENSIONS = "apps; daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale"
_LEADER = (
    "create; coordination.k8s.io; leases",
    "get list update watch; coordination.k8s.io; leases; {name}",
)
_REVIEWS = (
    "create; authentication.k8s.io; tokenreviews",
    "create; authorization.k8s.io; subjectaccessreviews",
)

_VIEWED = (
    (
        f"{_READ}; core; configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods"
        " replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status"
    ),
    (
        f"{_READ}; core; bindings events limitranges namespaces/status pods/log pods/status"
        " replicationcontrollers/status resourcequotas resourcequotas/status"
    ),
    f"{_READ}; core; namespaces",
    f"{_READ}; discovery.k8s.io; endpointslices",
    (
        f"{_READ}; apps; controllerrevisions daemonsets daemonsets/status deployments deployments/scale"
        " deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale"
        " statefulsets/status"
    ),
    f"{_READ}; autoscaling; horizontalpodautoscalers horizontalpodautoscalers/status",
    f"{_READ}; batch; cronjobs cronjobs/status jobs jobs/status",
    f"{_READ}; policy; poddisruptionbudgets poddisruptionbudgets/status",
    f"{_READ}; networking.k8s.io; ingresses ingresses/status networkpolicies",
    f"{_READ}; resource.k8s.io; resourceclaims resourceclaims/status resourceclaimtemplates",
)
_EDITED = (
    f"{_READ}; core; pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
    "impersonate; core; serviceaccounts",
    f"{_WRITE}; core; pods pods/attach pods/exec pods/portforward pods/proxy",
    "create; core; pods/eviction",
    (
        f"{_WRITE}; core; configmaps events persistentvolumeclaims replicationcontrollers"
        " replicationcontrollers/scale secrets serviceaccounts services services/proxy"
    ),
    "create; core; serviceaccounts/token",
    f"{_WRITE}; {_EXTENSIONS} statefulsets statefulsets/scale",
    f"{_WRITE}; autoscaling; horizontalpodautoscalers",
    f"{_WRITE}; batch; cronjobs jobs",
    f"{_WRITE}; policy; poddisruptionbudgets",
    f"{_WRITE}; networking.k8s.io; ingresses networkpolicies",
    f"{_WRITE}; resource.k8s.io; resourceclaims resourceclaimtemplates",
    f"{_READ} {_WRITE}; coordination.k8s.io; leases",
)
_ADMINISTERED = (
    "create; authorization.k8s.io; localsubjectaccessreviews",
    f"{_READ} {_WRITE}; rbac.authorization.k8s.io; rolebindings roles",
)
_DISCOVERED = "get; /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"
_CSR = "certificates.k8s.io; certificatesigningrequests"

ROLES: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("*; *; *", "*; *"),
    "system:aggregate-to-view": _VIEWED,
    "system:aggregate-to-edit": _EDITED,
    "system:aggregate-to-admin": _ADMINISTERED,
    "system:discovery": (_DISCOVERED,),
    "system:public-info-viewer": ("get; /healthz /livez /readyz /version /version/",),
    "system:monitoring": ("get; /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",),
    "system:basic-user": (
        "create; authorization.k8s.io; selfsubjectaccessreviews selfsubjectrulesreviews",
        "create; authentication.k8s.io; selfsubjectreviews",
    ),
    "system:service-account-issuer-discovery": ("get; /.well-known/openid-configuration /openid/v1/jwks",),
    "system:auth-delegator": _REVIEWS,
    "system:kube-aggregator": (f"{_READ}; core; endpoints services", f"{_READ}; discovery.k8s.io; endpointslices"),
    "system:kubelet-api-admin": (
        f"{_READ} proxy; core; nodes",
        (
            "*; core; nodes/checkpoint nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy"
            " nodes/spec nodes/stats"
        ),
    ),
    "system:node-bootstrapper": (f"create {_READ}; {_CSR}",),
    "system:node-problem-detector": (
        "get; core; nodes",
        "patch; core; nodes/status",
        _EVENTS,
    ),
    "system:node-proxier": (
        "list watch; core; endpoints services",
        f"{_READ}; core; nodes",
        _EVENTS,
        "list watch; discovery.k8s.io; endpointslices",
        "list watch; networking.k8s.io; servicecidrs",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create; certificates.k8s.io; certificatesigningrequests/nodeclient",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create; certificates.k8s.io; certificatesigningrequests/selfnodeclient",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        "approve; certificates.k8s.io; signers; kubernetes.io/kube-apiserver-client",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        "approve; certificates.k8s.io; signers; kubernetes.io/kube-apiserver-client-kubelet",
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        "approve; certificates.k8s.io; signers; kubernetes.io/kubelet-serving",
    ),
    "system:certificates.k8s.io:legacy-unknown-approver": (
        "approve; certificates.k8s.io; signers; kubernetes.io/legacy-unknown",
    ),
    "system:volume-scheduler": (
        "get list patch update watch; core; persistentvolumes",
        f"{_READ}; storage.k8s.io; storageclasses",
        "get list patch update watch; core; persistentvolumeclaims",
    ),
    "system:persistent-volume-provisioner": (
        "create delete get list watch; core; persistentvolumes",
        "get list update watch; core; persistentvolumeclaims",
        f"{_READ}; storage.k8s.io; storageclasses",
        "watch; core; events",
        _EVENTS,
    ),
    "system:kube-dns": ("list watch; core; endpoints services",),
    # The Node authoriser serves kubelets; the role remains, bound to nobody, for clusters that run without it.
    "system:node": (
        *_REVIEWS,
        "list watch; core; services",
        f"create {_READ}; core; nodes",
        "patch update; core; nodes nodes/status",
        _EVENTS,
        f"{_READ}; core; pods",
        "create delete; core; pods",
        "patch update; core; pods/status",
        "create; core; pods/eviction",
        f"{_READ}; core; configmaps secrets",
        "get; core; persistentvolumeclaims persistentvolumes",
        "get; core; endpoints",
        f"create {_READ}; {_CSR}",
        "create delete get patch update; coordination.k8s.io; leases",
        "get; storage.k8s.io; volumeattachments",
        "create; core; serviceaccounts/token",
        f"{_READ}; storage.k8s.io; csidrivers",
        "create delete get patch update; storage.k8s.io; csinodes",
        f"{_READ}; node.k8s.io; runtimeclasses",
        "get; resource.k8s.io; resourceclaims",
        f"create delete deletecollection {_READ} patch update; resource.k8s.io; resourceslices",
    ),
    "system:kube-scheduler": (
        _EVENTS,
        *(rule.format(name="kube-scheduler") for rule in _LEADER),
        f"{_READ}; core; nodes",
        "delete get list watch; core; pods",
        "create; core; bindings pods/binding",
        "patch update; core; pods/status",
        f"{_READ}; core; namespaces persistentvolumeclaims persistentvolumes replicationcontrollers services",
        f"{_READ}; apps; replicasets statefulsets",
        f"{_READ}; policy; poddisruptionbudgets",
        f"{_READ}; storage.k8s.io; csidrivers csinodes csistoragecapacities storageclasses volumeattachments",
        f"{_READ}; resource.k8s.io; deviceclasses resourceclaims resourceslices",
        "patch update; resource.k8s.io; resourceclaims/status",
        *_REVIEWS,
    ),
    "system:kube-controller-manager": (
        _EVENTS,
        *(rule.format(name="kube-controller-manager") for rule in _LEADER),
        "create; core; secrets serviceaccounts",
        "delete; core; secrets",
        "get; core; configmaps namespaces secrets serviceaccounts",
        "update; core; secrets serviceaccounts",
        *_REVIEWS,
        # Informers over everything: of garbage collection and of quotas.
        "list watch; *; *",
        "create; core; serviceaccounts/token",
    ),
}

_PODS = "create delete list patch watch; core; pods"
CONTROLLER_ROLES: dict[str, tuple[str, ...]] = {
    "attachdetach-controller": (
        "list watch; core; persistentvolumeclaims persistentvolumes pods",
        f"{_READ}; core; nodes",
        "patch update; core; nodes/status",
        "create delete get list patch watch; storage.k8s.io; volumeattachments",
        _EVENTS,
    ),
    "certificate-controller": (
        f"delete {_READ}; {_CSR}",
        "update; certificates.k8s.io; certificatesigningrequests/approval certificatesigningrequests/status",
        (
            "approve; certificates.k8s.io; signers; kubernetes.io/kube-apiserver-client-kubelet"
            " kubernetes.io/kubelet-serving"
        ),
        (
            "sign; certificates.k8s.io; signers; kubernetes.io/kube-apiserver-client"
            " kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown"
        ),
        f"{_READ}; core; nodes",
        "create; authorization.k8s.io; subjectaccessreviews",
        _EVENTS,
    ),
    "cronjob-controller": (
        "get list patch update watch; batch; cronjobs",
        "create delete get list patch update watch; batch; jobs",
        "update; batch; cronjobs/finalizers cronjobs/status",
        "delete list; core; pods",
        _EVENTS,
    ),
    "daemon-set-controller": (
        f"{_READ}; apps; daemonsets",
        "update; apps; daemonsets/finalizers daemonsets/status",
        "list watch; core; nodes",
        _PODS,
        "create delete get list patch update watch; apps; controllerrevisions",
        "create; core; pods/binding",
        _EVENTS,
    ),
    "deployment-controller": (
        "get list patch update watch; apps; deployments",
        "update; apps; deployments/finalizers deployments/status",
        "create delete get list patch update watch; apps; replicasets",
        "get list update watch; core; pods",
        _EVENTS,
    ),
    "disruption-controller": (
        f"{_READ}; apps; deployments replicasets statefulsets",
        f"{_READ}; core; replicationcontrollers",
        f"{_READ}; policy; poddisruptionbudgets",
        "update; policy; poddisruptionbudgets/status",
        "list watch; core; pods",
        "patch update; core; pods/status",
        _EVENTS,
    ),
    "endpoint-controller": (
        f"{_READ}; core; pods services",
        "create delete get list update; core; endpoints",
        "create; core; endpoints/restricted",
        _EVENTS,
    ),
    "endpointslice-controller": (
        f"{_READ}; core; nodes pods services",
        "update; core; services/finalizers",
        "create delete get list update; discovery.k8s.io; endpointslices",
        _EVENTS,
    ),
    "generic-garbage-collector": ("delete get list patch update watch; *; *", _EVENTS),
    "horizontal-pod-autoscaler": (
        f"{_READ}; autoscaling; horizontalpodautoscalers",
        "update; autoscaling; horizontalpodautoscalers/status",
        "get update; *; */scale",
        "list; core; pods",
        "list; metrics.k8s.io; pods",
        "get list; custom.metrics.k8s.io external.metrics.k8s.io; *",
        _EVENTS,
    ),
    "job-controller": (
        "get list patch update watch; batch; jobs",
        "update; batch; jobs/finalizers jobs/status",
        _PODS,
        _EVENTS,
    ),
    "namespace-controller": (
        f"delete {_READ}; core; namespaces",
        "update; core; namespaces/finalize namespaces/status",
        "delete deletecollection get list; *; *",
    ),
    "node-controller": (
        "delete get list patch update watch; core; nodes",
        "patch update; core; nodes/status",
        "patch update; core; pods/status",
        "delete list watch; core; pods",
        f"{_READ}; coordination.k8s.io; leases",
        _EVENTS,
    ),
    "persistent-volume-binder": (
        "create delete get list update watch; core; persistentvolumes",
        "update; core; persistentvolumeclaims/status persistentvolumes/status",
        "get list update watch; core; persistentvolumeclaims",
        "create delete get list watch; core; pods",
        f"{_READ}; storage.k8s.io; storageclasses",
        f"{_READ}; core; nodes",
        _EVENTS,
    ),
    "pod-garbage-collector": (
        "delete list watch; core; pods",
        "get list; core; nodes",
        "patch update; core; pods/status",
    ),
    "pv-protection-controller": ("get list update watch; core; persistentvolumes", _EVENTS),
    "pvc-protection-controller": (
        "get list update watch; core; persistentvolumeclaims",
        f"{_READ}; core; pods",
        _EVENTS,
    ),
    "replicaset-controller": (
        "get list update watch; apps; replicasets",
        "update; apps; replicasets/finalizers replicasets/status",
        _PODS,
        _EVENTS,
    ),
    "replication-controller": (
        "get list update watch; core; replicationcontrollers",
        "update; core; replicationcontrollers/finalizers replicationcontrollers/status",
        _PODS,
        _EVENTS,
    ),
    "resourcequota-controller": ("list watch; *; *", "update; core; resourcequotas/status", _EVENTS),
    "root-ca-cert-publisher": ("create update; core; configmaps", _EVENTS),
    "service-account-controller": ("create; core; serviceaccounts", _EVENTS),
    "service-controller": (
        f"{_READ}; core; services",
        "patch update; core; services/status",
        "list watch; core; nodes",
        _EVENTS,
    ),
    "statefulset-controller": (
        "list watch; core; pods",
        f"{_READ}; apps; statefulsets",
        "update; apps; statefulsets/finalizers statefulsets/status",
        "create delete get patch update; core; pods",
        "create delete get list patch update watch; apps; controllerrevisions",
        "create get list watch; core; persistentvolumeclaims",
        _EVENTS,
    ),
    "ttl-after-finished-controller": ("delete get list watch; batch; jobs", _EVENTS),
}

# Roles whose rules are those of the roles labelled for them.
_AGGREGATED = ("admin", "edit", "view")
# Which of the aggregated roles each part belongs to: whoever edits views, whoever administers edits.
_PART_OF = {
    "system:aggregate-to-view": ("view",),
    "system:aggregate-to-edit": ("edit",),
    "system:aggregate-to-admin": ("admin",),
}
_INCLUDED_IN = {"view": ("edit",), "edit": ("admin",)}

# Cluster role to the subjects bound to it; "g:" a group, "u:" a user.
BINDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cluster-admin": ("cluster-admin", ("g:system:masters",)),
    "system:discovery": ("system:discovery", ("g:system:authenticated",)),
    "system:basic-user": ("system:basic-user", ("g:system:authenticated",)),
    "system:public-info-viewer": (
        "system:public-info-viewer",
        ("g:system:authenticated", "g:system:unauthenticated"),
    ),
    "system:monitoring": ("system:monitoring", ("g:system:monitoring",)),
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery",
        ("g:system:serviceaccounts",),
    ),
    "system:kube-scheduler": ("system:kube-scheduler", ("u:system:kube-scheduler",)),
    "system:volume-scheduler": ("system:volume-scheduler", ("u:system:kube-scheduler",)),
    "system:kube-controller-manager": ("system:kube-controller-manager", ("u:system:kube-controller-manager",)),
    "system:node-proxier": ("system:node-proxier", ("u:system:kube-proxy",)),
}


def cluster_roles() -> Iterator[Object]:
    """All default ClusterRoles."""
    for name, rules in ROLES.items():
        labels = dict(_LABELS)
        for role in _PART_OF.get(name, ()):
            labels[f"{_AGGREGATE}{role}"] = "true"
        yield _role(name, rules, labels)
    for name, rules in CONTROLLER_ROLES.items():
        yield _role(f"system:controller:{name}", rules, _LABELS)
    for name in _AGGREGATED:
        labels = {**_LABELS, **{f"{_AGGREGATE}{other}": "true" for other in _INCLUDED_IN.get(name, ())}}
        selector = {"matchLabels": {f"{_AGGREGATE}{name}": "true"}}
        yield {**_role(name, (), labels), "aggregationRule": {"clusterRoleSelectors": [selector]}}


def cluster_role_bindings() -> Iterator[Object]:
    """All default ClusterRoleBindings."""
    for name, (role, subjects) in BINDINGS.items():
        yield _binding(name, role, [_subject(found) for found in subjects])
    for name in CONTROLLER_ROLES:
        account = {"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}
        yield _binding(f"system:controller:{name}", f"system:controller:{name}", [account])


def namespaced() -> Iterator[Object]:
    """The default Roles and RoleBindings."""
    reader = "extension-apiserver-authentication-reader"
    yield _in_namespace("kube-system", reader, (f"{_READ}; core; configmaps; extension-apiserver-authentication",))
    for daemon in ("kube-controller-manager", "kube-scheduler"):
        locks = (f"{_READ}; core; configmaps", f"get update; core; configmaps; {daemon}")
        yield _in_namespace("kube-system", f"system::leader-locking-{daemon}", locks)
        yield _role_binding(
            "kube-system",
            f"system::leader-locking-{daemon}",
            f"system::leader-locking-{daemon}",
            [f"u:system:{daemon}"],
        )
    yield _role_binding(
        "kube-system", f"system::{reader}", reader, ["u:system:kube-controller-manager", "u:system:kube-scheduler"]
    )
    yield _in_namespace("kube-system", "system:controller:token-cleaner", ("delete get list watch; core; secrets",))
    yield _in_namespace(
        "kube-public",
        "system:controller:bootstrap-signer",
        (f"{_READ}; core; configmaps", "update; core; configmaps; cluster-info", _EVENTS),
    )


def _rules(texts: tuple[str, ...]) -> list[Object]:
    return [_rule(text) for text in texts]


def _rule(text: str) -> Object:
    verbs, second, *rest = (part.split() for part in text.split(";"))
    if not rest:
        return {"verbs": sorted(verbs), "nonResourceURLs": second}
    groups = ["" if found == "core" else found for found in second]
    rule: Object = {"verbs": sorted(verbs), "apiGroups": groups, "resources": rest[0]}
    if len(rest) > 1:
        rule["resourceNames"] = rest[1]
    return rule


def _head(name: str, labels: dict[str, str], namespace: str = "") -> Object:
    head: Object = {"name": name, "labels": dict(labels), "annotations": {AUTO_UPDATE: "true"}}
    if namespace:
        head["namespace"] = namespace
    return head


def _role(name: str, rules: tuple[str, ...], labels: dict[str, str]) -> Object:
    return {"apiVersion": _API, "kind": "ClusterRole", "metadata": _head(name, labels), "rules": _rules(rules)}


def _in_namespace(namespace: str, name: str, rules: tuple[str, ...]) -> Object:
    return {
        "apiVersion": _API,
        "kind": "Role",
        "metadata": _head(name, _LABELS, namespace),
        "rules": _rules(rules),
    }


def _subject(text: str) -> Object:
    kind = {"g": "Group", "u": "User"}[text[0]]
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": text[2:]}


def _binding(name: str, role: str, subjects: list[Object]) -> Object:
    return {
        "apiVersion": _API,
        "kind": "ClusterRoleBinding",
        "metadata": _head(name, _LABELS),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    }


def _role_binding(namespace: str, name: str, role: str, subjects: list[str]) -> Object:
    return {
        "apiVersion": _API,
        "kind": "RoleBinding",
        "metadata": _head(name, _LABELS, namespace),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [_subject(found) for found in subjects],
    }
