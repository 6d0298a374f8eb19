"""Which admission plugins there are, in which order they run, and which the flags choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keelson.kube_apiserver.admission import event_rates, namespace_rules, pod_security, resource_quotas
from keelson.kube_apiserver.admission.certificates import Certificates
from keelson.kube_apiserver.admission.class_defaults import DefaultIngressClass, DefaultStorageClass
from keelson.kube_apiserver.admission.configurations import Configurations
from keelson.kube_apiserver.admission.dynamic import Dynamic
from keelson.kube_apiserver.admission.escalations import Escalations
from keelson.kube_apiserver.admission.limit_ranges import LimitRanger
from keelson.kube_apiserver.admission.lookups import Lookups
from keelson.kube_apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from keelson.kube_apiserver.admission.nodes import NodeRestriction, TaintNodesByCondition
from keelson.kube_apiserver.admission.optional import (
    AlwaysDeny,
    AlwaysPullImages,
    DenyServiceExternalIPs,
    ExtendedResourceToleration,
    LimitPodHardAntiAffinityTopology,
    NamespaceExists,
    OwnerReferencesPermissionEnforcement,
)
from keelson.kube_apiserver.admission.pod_defaults import (
    DefaultTolerationSeconds,
    PodTopologyLabels,
    Priority,
    RuntimeClass,
)
from keelson.kube_apiserver.admission.service_accounts import ServiceAccounts
from keelson.kube_apiserver.admission.storage import PersistentVolumeClaimResize, StorageObjectInUseProtection
from keelson.kube_apiserver.authorization.rbac import Rbac
from keelson.kube_apiserver.authorization.unions import Authorizer


@dataclass(frozen=True, slots=True)
class Means:
    """What plugins are made of."""

    lookups: Lookups
    authorizer: Authorizer
    rbac: Rbac | None
    configurations: Configurations


def _pod_security(means: Means) -> Any:
    return pod_security.PodSecurity(means.lookups, pod_security.settings_from(means.configurations))


def _pod_node_selector(means: Means) -> Any:
    return namespace_rules.PodNodeSelector(means.lookups, namespace_rules.selectors_from(means.configurations))


def _pod_tolerations(means: Means) -> Any:
    stated = namespace_rules.tolerations_from(means.configurations)
    return namespace_rules.PodTolerationRestriction(means.lookups, *stated)


def _resource_quota(means: Means) -> Any:
    return resource_quotas.ResourceQuota(means.lookups, resource_quotas.limited_from(means.configurations))


# Upstream's order (kubeapiserver/options/plugins.go), and whether a plugin is on by default, as it is there.
_MAKERS: dict[str, tuple[bool, Callable[[Means], Any]]] = {
    "NamespaceLifecycle": (True, lambda means: NamespaceLifecycle(means.lookups)),
    "NamespaceExists": (False, lambda means: NamespaceExists(means.lookups)),
    "LimitPodHardAntiAffinityTopology": (False, lambda _: LimitPodHardAntiAffinityTopology()),
    "LimitRanger": (True, lambda means: LimitRanger(means.lookups)),
    "ServiceAccount": (True, lambda means: ServiceAccounts(means.lookups)),
    "NodeRestriction": (False, lambda means: NodeRestriction(means.lookups, means.authorizer)),
    "TaintNodesByCondition": (True, lambda _: TaintNodesByCondition()),
    "AlwaysPullImages": (False, lambda _: AlwaysPullImages()),
    "PodSecurity": (True, _pod_security),
    "PodNodeSelector": (False, _pod_node_selector),
    "Priority": (True, lambda means: Priority(means.lookups)),
    "DefaultTolerationSeconds": (True, lambda _: DefaultTolerationSeconds()),
    "PodTolerationRestriction": (False, _pod_tolerations),
    "EventRateLimit": (
        False,
        lambda means: event_rates.EventRateLimit(event_rates.limits_from(means.configurations)),
    ),
    "ExtendedResourceToleration": (False, lambda _: ExtendedResourceToleration()),
    "DefaultStorageClass": (True, lambda means: DefaultStorageClass(means.lookups)),
    "StorageObjectInUseProtection": (True, lambda _: StorageObjectInUseProtection()),
    "OwnerReferencesPermissionEnforcement": (
        False,
        lambda means: OwnerReferencesPermissionEnforcement(means.authorizer),
    ),
    "PersistentVolumeClaimResize": (True, lambda means: PersistentVolumeClaimResize(means.lookups)),
    "RuntimeClass": (True, lambda means: RuntimeClass(means.lookups)),
    "DefaultIngressClass": (True, lambda means: DefaultIngressClass(means.lookups)),
    "DenyServiceExternalIPs": (False, lambda _: DenyServiceExternalIPs()),
    "PodTopologyLabels": (True, lambda means: PodTopologyLabels(means.lookups)),
}
# After webhooks and policies: nothing is charged for what another refuses.
_LAST: dict[str, tuple[bool, Callable[[Means], Any]]] = {
    "ResourceQuota": (True, _resource_quota),
    "AlwaysDeny": (False, lambda _: AlwaysDeny()),
}
# Names that upstream knows and nothing does here: enabling one of them is refused.
UNSUPPORTED = frozenset(("ImagePolicyWebhook", "NamespaceAutoProvision"))
KNOWN = frozenset(
    {
        *_MAKERS,
        *_LAST,
        *UNSUPPORTED,
        # Nothing to do: what no other plugin refuses is admitted.
        "AlwaysAdmit",
        # Parts of `Certificates`; nobody is served a ClusterTrustBundle, nor what the others after it are about.
        "CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction", "ClusterTrustBundleAttest",
        "JobValidation", "NodeDeclaredFeatureValidator", "PodGroupProtection", "PodGroupWorkloadExists",
        "PodResizeValidator",
        # `Dynamic`.
        "MutatingAdmissionPolicy", "MutatingAdmissionWebhook", "ValidatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
    }
)  # fmt: skip


def chosen(means: Means, enabled: Sequence[str], disabled: Sequence[str], dynamic: Dynamic) -> list[Any]:
    """The plugins in their order. Raises ConfigurationError for a configuration that can't be used."""

    def made(makers: dict[str, tuple[bool, Callable[[Means], Any]]]) -> list[Any]:
        return [
            make(means)
            for name, (default, make) in makers.items()
            if (name in enabled or default) and name not in disabled
        ]

    found = made(_MAKERS)
    found.append(Certificates(means.authorizer, disabled))
    if means.rbac is not None:
        found.append(Escalations(means.rbac, means.authorizer))
    return [*found, *dynamic.plugins, *made(_LAST)]
