"""All controllers by name, as --controllers chooses among them."""

from __future__ import annotations

from collections.abc import Sequence

from keelson.kube_controller_manager.contexts import Controller, Settings

from .bootstrap_tokens import BootstrapSignerController, TokenCleanerController
from .certificate_approval import CertificateApprovalController
from .certificate_cleaner import CertificateCleanerController
from .certificate_signing import CertificateSigningController
from .cron_job import CronJobController
from .daemon_set import DaemonSetController
from .deployment import DeploymentController
from .disruption import DisruptionController
from .endpoint import EndpointController
from .endpoint_slice import EndpointSliceController
from .endpoint_slice_mirroring import EndpointSliceMirroringController
from .ephemeral_volume import EphemeralVolumeController
from .garbage_collector import GarbageCollector
from .horizontal_pod_autoscaler import HorizontalPodAutoscalerController
from .job import JobController
from .names import ABSENT, ALIASES, ON_REQUEST
from .namespace import NamespaceController
from .node_ipam import NodeIpamController
from .node_lifecycle import NodeLifecycleController
from .node_ttl import NodeTtlController
from .persistent_volume_binder import PersistentVolumeBinderController
from .pod_garbage_collector import PodGarbageCollector
from .replica_set import ReplicaSetController, ReplicationControllerController
from .resource_quota import ResourceQuotaController
from .role_aggregation import RoleAggregationController
from .root_ca_publisher import RootCaPublisher
from .service_account import ServiceAccountController
from .service_account_token import ServiceAccountTokenController
from .service_cidr import ServiceCidrController
from .stateful_set import StatefulSetController
from .storage_protection import (
    PersistentVolumeClaimProtectionController,
    PersistentVolumeProtectionController,
    VolumeAttributesClassProtectionController,
)
from .taint_eviction import TaintEvictionController
from .ttl_after_finished import TtlAfterFinishedController
from .validating_admission_policy_status import ValidatingAdmissionPolicyStatusController

CONTROLLERS: tuple[type[Controller], ...] = (
    ServiceAccountTokenController,
    ServiceAccountController,
    RootCaPublisher,
    CertificateApprovalController,
    CertificateSigningController,
    CertificateCleanerController,
    BootstrapSignerController,
    TokenCleanerController,
    NodeTtlController,
    NodeIpamController,
    NodeLifecycleController,
    TaintEvictionController,
    RoleAggregationController,
    NamespaceController,
    GarbageCollector,
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
    DaemonSetController,
    StatefulSetController,
    JobController,
    CronJobController,
    TtlAfterFinishedController,
    EndpointController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    DisruptionController,
    HorizontalPodAutoscalerController,
    PodGarbageCollector,
    PersistentVolumeBinderController,
    PersistentVolumeClaimProtectionController,
    PersistentVolumeProtectionController,
    VolumeAttributesClassProtectionController,
    EphemeralVolumeController,
    ResourceQuotaController,
    ServiceCidrController,
    ValidatingAdmissionPolicyStatusController,
)


def names() -> list[str]:
    """The names that --controllers takes."""
    return [found.name for found in CONTROLLERS]


def chosen(wanted: Sequence[str], settings: Settings) -> list[type[Controller]]:
    """The controllers that --controllers ("*", "name", "-name") and the settings at hand allow.

    Raises ValueError for a name that no controller has. Former names stand for today's.
    """
    known = set(names())
    stated: dict[str, bool] = {}
    for entry in wanted:
        sign, name = ("-", entry[1:]) if entry.startswith("-") else ("", entry)
        name = ALIASES.get(name, name)
        if entry != "*" and name not in known and not (sign and name in ABSENT):
            raise ValueError(f'--controllers: "{name}" is not one of {", ".join(sorted(known))}')
        # As upstream, the first word on a controller is the one that counts.
        stated.setdefault(name, not sign)
    able = {
        ServiceAccountTokenController.name: bool(settings.service_account_key),
        RootCaPublisher.name: bool(settings.root_ca),
        CertificateSigningController.name: bool(settings.cluster_signing_key),
        NodeIpamController.name: settings.allocate_node_cidrs,
    }

    def runs(name: str) -> bool:
        by_default = "*" in stated and name not in ON_REQUEST
        return stated.get(name, by_default) and able.get(name, True)

    return [found for found in CONTROLLERS if runs(found.name)]
