"""Which admission plugins there are, in which order they run, and which the flags choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keelson.kube_apiserver.admission.certificates import Certificates
from keelson.kube_apiserver.admission.class_defaults import DefaultIngressClass, DefaultStorageClass
from keelson.kube_apiserver.admission.dynamic import Dynamic
from keelson.kube_apiserver.admission.escalations import Escalations
from keelson.kube_apiserver.admission.limit_ranges import LimitRanger
from keelson.kube_apiserver.admission.lookups import Lookups
from keelson.kube_apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from keelson.kube_apiserver.admission.nodes import NodeRestriction, TaintNodesByCondition
from keelson.kube_apiserver.admission.pod_defaults import DefaultTolerationSeconds, Priority, RuntimeClass
from keelson.kube_apiserver.admission.pod_security import PodSecurity
from keelson.kube_apiserver.admission.resource_quotas import ResourceQuota
from keelson.kube_apiserver.admission.service_accounts import ServiceAccounts
from keelson.kube_apiserver.admission.storage import PersistentVolumeClaimResize, StorageObjectInUseProtection
from keelson.kube_apiserver.authorization.rbac import Rbac
from keelson.kube_apiserver.authorization.unions import Authorizer

# Upstream's order (kubeapiserver/options/plugins.go names it); NodeRestriction alone is off by default, as upstream's.
_MAKERS: dict[str, tuple[bool, Callable[[Lookups], Any]]] = {
    "NamespaceLifecycle": (True, NamespaceLifecycle),
    "LimitRanger": (True, LimitRanger),
    "ServiceAccount": (True, ServiceAccounts),
    "NodeRestriction": (False, NodeRestriction),
    "TaintNodesByCondition": (True, lambda _: TaintNodesByCondition()),
    "PodSecurity": (True, PodSecurity),
    "Priority": (True, Priority),
    "DefaultTolerationSeconds": (True, lambda _: DefaultTolerationSeconds()),
    "RuntimeClass": (True, RuntimeClass),
    "DefaultStorageClass": (True, DefaultStorageClass),
    "StorageObjectInUseProtection": (True, lambda _: StorageObjectInUseProtection()),
    "PersistentVolumeClaimResize": (True, PersistentVolumeClaimResize),
    "DefaultIngressClass": (True, DefaultIngressClass),
}
# Names that upstream knows and that are not here yet, or are part of another.
KNOWN = frozenset(
    {
        *_MAKERS,
        "AlwaysAdmit", "AlwaysDeny", "AlwaysPullImages", "CertificateApproval", "CertificateSigning",
        "CertificateSubjectRestriction", "ClusterTrustBundleAttest", "EventRateLimit", "ExtendedResourceToleration",
        "ImagePolicyWebhook", "LimitPodHardAntiAffinityTopology", "MutatingAdmissionPolicy",
        "MutatingAdmissionWebhook", "NamespaceAutoProvision", "NamespaceExists", "OwnerReferencesPermissionEnforcement",
        "PodNodeSelector", "PodTolerationRestriction",
        "PodTopologyLabels", "ResourceQuota",
        "ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "DenyServiceExternalIPs",
    }
)  # fmt: skip


def chosen(
    lookups: Lookups,
    authorizer: Authorizer,
    rbac: Rbac | None,
    enabled: Sequence[str],
    disabled: Sequence[str],
    dynamic: Dynamic,
) -> list[Any]:
    """The plugins in their order."""
    found = [
        make(lookups)
        for name, (default, make) in _MAKERS.items()
        if name in enabled or (default and name not in disabled)
    ]
    found.append(Certificates(authorizer))
    if rbac is not None:
        found.append(Escalations(rbac, authorizer))
    found += dynamic.plugins
    # The last of all: nothing is charged for what another refuses.
    if "ResourceQuota" not in disabled:
        found.append(ResourceQuota(lookups))
    return found
