"""All controllers by name, as --controllers chooses among them."""

from __future__ import annotations

from collections.abc import Sequence

from keelson.kube_controller_manager.contexts import Controller, Settings

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

    Raises ValueError for a name that no controller has.
    """
    known = set(names())
    for entry in wanted:
        if entry != "*" and entry.removeprefix("-") not in known:
            raise ValueError(f'--controllers: "{entry.removeprefix("-")}" is not one of {", ".join(sorted(known))}')
    able = {
        ServiceAccountTokenController.name: bool(settings.service_account_key),
        RootCaPublisher.name: bool(settings.root_ca),
        CertificateSigningController.name: bool(settings.cluster_signing_key),
        NodeIpamController.name: settings.allocate_node_cidrs,
    }
    return [
        found
        for found in CONTROLLERS
        if f"-{found.name}" not in wanted and ("*" in wanted or found.name in wanted) and able.get(found.name, True)
    ]
