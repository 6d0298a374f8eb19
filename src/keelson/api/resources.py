"""The built-in resources: every GA resource of Kubernetes v1.36, as one table.

The table is data: names, scopes, verbs, subresources and storage prefixes as upstream serves and stores them. It drives
discovery, routing, storage and the clients; the schema of a kind comes from `schemas`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


# Resources whose deletion answers with the object and not with a Status, as upstream's registries do.
RETURNS_DELETED = frozenset(
    {
        "pods",
        "services",
        "podtemplates",
        "resourcequotas",
        "persistentvolumes",
        "persistentvolumeclaims",
        "serviceaccounts",
        "deviceclasses.resource.k8s.io",
        "resourceclaims.resource.k8s.io",
        "resourceclaimtemplates.resource.k8s.io",
        "resourceslices.resource.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "volumeattributesclasses.storage.k8s.io",
    }
)


# Resources whose dependents outlive them where a deletion does not say what becomes of them, as of old.
ORPHANS_DEPENDENTS = frozenset({"jobs.batch", "replicationcontrollers"})


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one version.

    `storage_prefix` is the part of the etcd key between "/registry/" and the namespace or name. `subresources` are
    served beside status, which is among them where the kind has it.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    storage_prefix: str = ""

    api_version: str = field(init=False, compare=False)
    """The `apiVersion` of its objects: "v1" or "group/version"."""
    qualified: str = field(init=False, compare=False)
    """The name that `lookup` takes: "pods" or "deployments.apps"."""

    def __post_init__(self) -> None:
        # Asked for many times in each request.
        object.__setattr__(self, "api_version", f"{self.group}/{self.version}" if self.group else self.version)
        object.__setattr__(self, "qualified", f"{self.plural}.{self.group}" if self.group else self.plural)

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path below the server's root. Without `namespace` it spans all namespaces."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


def _r(
    group_version: str,
    kind: str,
    plural: str,
    *,
    namespaced: bool = True,
    short: str = "",
    categories: str = "",
    sub: str = "",
    verbs: Iterable[str] = VERBS,
    prefix: str = "",
) -> Resource:
    group, _, version = group_version.rpartition("/")
    return Resource(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        namespaced=namespaced,
        singular=kind.lower(),
        short_names=tuple(short.split()),
        categories=tuple(categories.split()),
        subresources=tuple(sub.split()),
        verbs=tuple(verbs),
        storage_prefix=prefix or plural,
    )


_CREATE = ("create",)
_AUTHZ = "authorization.k8s.io/v1"
_AUTHN = "authentication.k8s.io/v1"
_ADMISSION = "admissionregistration.k8s.io/v1"
_RESOURCE = "resource.k8s.io/v1"

BUILT_IN: tuple[Resource, ...] = (
    _r("v1", "Binding", "bindings", verbs=_CREATE),
    _r("v1", "ComponentStatus", "componentstatuses", namespaced=False, short="cs", verbs=("get", "list")),
    _r("v1", "ConfigMap", "configmaps", short="cm"),
    _r("v1", "Endpoints", "endpoints", short="ep", prefix="services/endpoints"),
    _r("v1", "Event", "events", short="ev"),
    _r("v1", "LimitRange", "limitranges", short="limits"),
    _r(
        "v1",
        "Namespace",
        "namespaces",
        namespaced=False,
        short="ns",
        sub="finalize status",
        verbs=[v for v in VERBS if v != "deletecollection"],
    ),
    _r("v1", "Node", "nodes", namespaced=False, short="no", sub="proxy status", prefix="minions"),
    _r("v1", "PersistentVolume", "persistentvolumes", namespaced=False, short="pv", sub="status"),
    _r("v1", "PersistentVolumeClaim", "persistentvolumeclaims", short="pvc", sub="status"),
    _r(
        "v1",
        "Pod",
        "pods",
        short="po",
        categories="all",
        sub="attach binding ephemeralcontainers eviction exec log portforward proxy resize status",
    ),
    _r("v1", "PodTemplate", "podtemplates"),
    _r(
        "v1",
        "ReplicationController",
        "replicationcontrollers",
        short="rc",
        categories="all",
        sub="scale status",
        prefix="controllers",
    ),
    _r("v1", "ResourceQuota", "resourcequotas", short="quota", sub="status"),
    _r("v1", "Secret", "secrets"),
    _r("v1", "Service", "services", short="svc", categories="all", sub="proxy status", prefix="services/specs"),
    _r("v1", "ServiceAccount", "serviceaccounts", short="sa", sub="token"),
    _r(
        f"{_ADMISSION}",
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
        namespaced=False,
        categories="api-extensions",
    ),
    _r(
        f"{_ADMISSION}",
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        namespaced=False,
        categories="api-extensions",
    ),
    _r(
        f"{_ADMISSION}",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        namespaced=False,
        categories="api-extensions",
    ),
    _r(
        f"{_ADMISSION}",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        namespaced=False,
        categories="api-extensions",
        sub="status",
    ),
    _r(
        f"{_ADMISSION}",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        namespaced=False,
        categories="api-extensions",
    ),
    _r(
        f"{_ADMISSION}",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        namespaced=False,
        categories="api-extensions",
    ),
    _r(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        namespaced=False,
        short="crd crds",
        categories="api-extensions",
        sub="status",
        prefix="apiextensions.k8s.io/customresourcedefinitions",
    ),
    _r(
        "apiregistration.k8s.io/v1",
        "APIService",
        "apiservices",
        namespaced=False,
        categories="api-extensions",
        sub="status",
        prefix="apiregistration.k8s.io/apiservices",
    ),
    _r("apps/v1", "ControllerRevision", "controllerrevisions"),
    _r("apps/v1", "DaemonSet", "daemonsets", short="ds", categories="all", sub="status"),
    _r("apps/v1", "Deployment", "deployments", short="deploy", categories="all", sub="scale status"),
    _r("apps/v1", "ReplicaSet", "replicasets", short="rs", categories="all", sub="scale status"),
    _r("apps/v1", "StatefulSet", "statefulsets", short="sts", categories="all", sub="scale status"),
    _r(f"{_AUTHN}", "SelfSubjectReview", "selfsubjectreviews", namespaced=False, verbs=_CREATE),
    _r(f"{_AUTHN}", "TokenReview", "tokenreviews", namespaced=False, verbs=_CREATE),
    _r(f"{_AUTHZ}", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=_CREATE),
    _r(f"{_AUTHZ}", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False, verbs=_CREATE),
    _r(f"{_AUTHZ}", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False, verbs=_CREATE),
    _r(f"{_AUTHZ}", "SubjectAccessReview", "subjectaccessreviews", namespaced=False, verbs=_CREATE),
    _r(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        short="hpa",
        categories="all",
        sub="status",
    ),
    _r(
        "autoscaling/v1",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        short="hpa",
        categories="all",
        sub="status",
    ),
    _r("batch/v1", "CronJob", "cronjobs", short="cj", categories="all", sub="status"),
    _r("batch/v1", "Job", "jobs", categories="all", sub="status"),
    _r(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        namespaced=False,
        short="csr",
        sub="approval status",
    ),
    _r("coordination.k8s.io/v1", "Lease", "leases"),
    _r("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    _r("events.k8s.io/v1", "Event", "events", short="ev"),
    _r("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "flowschemas", namespaced=False, sub="status"),
    _r(
        "flowcontrol.apiserver.k8s.io/v1",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        namespaced=False,
        sub="status",
    ),
    _r("networking.k8s.io/v1", "Ingress", "ingresses", short="ing", sub="status", prefix="ingress"),
    _r("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False),
    _r("networking.k8s.io/v1", "IPAddress", "ipaddresses", namespaced=False, short="ip"),
    _r("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", short="netpol"),
    _r("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", namespaced=False, sub="status"),
    _r("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", namespaced=False),
    _r("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", short="pdb", sub="status"),
    _r("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False),
    _r("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    _r("rbac.authorization.k8s.io/v1", "Role", "roles"),
    _r("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    _r(f"{_RESOURCE}", "DeviceClass", "deviceclasses", namespaced=False),
    _r(f"{_RESOURCE}", "ResourceClaim", "resourceclaims", sub="status"),
    _r(f"{_RESOURCE}", "ResourceClaimTemplate", "resourceclaimtemplates"),
    _r(f"{_RESOURCE}", "ResourceSlice", "resourceslices", namespaced=False),
    _r("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False, short="pc"),
    _r("storage.k8s.io/v1", "CSIDriver", "csidrivers", namespaced=False),
    _r("storage.k8s.io/v1", "CSINode", "csinodes", namespaced=False),
    _r("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities"),
    _r("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False, short="sc"),
    _r("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", namespaced=False, sub="status"),
    _r("storage.k8s.io/v1", "VolumeAttributesClass", "volumeattributesclasses", namespaced=False, short="vac"),
)

# The first entry of a name is its group's preferred version.
_BY_NAME: dict[str, Resource] = {}
for _resource in BUILT_IN:
    _BY_NAME.setdefault(_resource.qualified, _resource)
_BY_KIND = {(r.api_version, r.kind): r for r in BUILT_IN}


def lookup(name: str) -> Resource:
    """The preferred version of a built-in resource by "plural" or "plural.group"; KeyError where there is none."""
    return _BY_NAME[name]


def of_kind(api_version: str, kind: str) -> Resource | None:
    """The built-in resource whose objects have this apiVersion and kind."""
    return _BY_KIND.get((api_version, kind))
