"""KubeletConfiguration (kubelet.config.k8s.io/v1beta1): the file of --config, read into values of known types.

Fields that this kubelet has no use for are accepted where leaving them out changes nothing that was promised; a field
that upstream does not know is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from keelson.api import quantities
from keelson.component_base.configurations import ConfigurationError, Fields, load

# Known to upstream and without meaning here: cAdvisor, iptables chains, CPU and memory managers, swap, tracing, …
_WITHOUT_MEANING = frozenset(
    """
    allowedUnsafeSysctls cgroupRoot cgroupsPerQOS configMapAndSecretChangeDetectionStrategy
    containerLogMaxWorkers containerLogMonitorInterval containerRuntimeEndpointTimeout contentType cpuCFSQuota
    cpuCFSQuotaPeriod cpuManagerPolicy cpuManagerPolicyOptions cpuManagerReconcilePeriod
    enableContentionProfiling enableControllerAttachDetach enableDebugFlagsHandler enableDebuggingHandlers
    enableProfilingHandler enableServer enableSystemLogHandler enableSystemLogQuery enforceNodeAllocatable
    eventBurst eventRecordQPS evictionMaxPodGracePeriod evictionMinimumReclaim evictionPressureTransitionPeriod
    evictionSoft evictionSoftGracePeriod failCgroupV1 failSwapOn featureGates fileCheckFrequency hairpinMode
    httpCheckFrequency imageMaximumGCAge imageMinimumGCAge imagePullCredentialsVerificationPolicy
    imageServiceEndpoint iptablesDropBit iptablesMasqueradeBit kernelMemcgNotification kubeAPIBurst kubeAPIQPS
    kubeReservedCgroup kubeletCgroups localStorageCapacityIsolation logging makeIPTablesUtilChains maxOpenFiles
    maxParallelImagePulls memoryManagerPolicy memorySwap memoryThrottlingFactor mergeDefaultEvictionSettings
    nodeStatusMaxImages oomScoreAdj podLogsDir podPidsLimit podsPerCore preloadedImagesVerificationAllowlist
    protectKernelDefaults providerID qosReserved readOnlyPort registryBurst registryPullQPS reservedMemory
    reservedSystemCPUs runOnce runtimeRequestTimeout seccompDefault serializeImagePulls
    showHiddenMetricsForVersion shutdownGracePeriod shutdownGracePeriodByPodPriority
    shutdownGracePeriodCriticalPods singleProcessOOMKill staticPodPath staticPodURL staticPodURLHeader
    streamingConnectionIdleTimeout syncFrequency systemCgroups systemReservedCgroup tlsCipherSuites
    tlsMinVersion topologyManagerPolicy topologyManagerPolicyOptions topologyManagerScope tracing userNamespaces
    volumePluginDir volumeStatsAggPeriod
    """.split()  # noqa: SIM905 - a hundred quoted words would be a hundred lines
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletConfiguration:
    """The settings; durations in seconds, sizes in bytes. Defaults are upstream's."""

    address: str = "0.0.0.0"  # noqa: S104 - upstream's default
    port: int = 10250
    healthz_address: str = "127.0.0.1"
    healthz_port: int = 10248
    client_ca_file: str = ""
    webhook_authentication: bool = True
    authentication_ttl: float = 120.0
    webhook_authorization: bool = True
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    container_runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    cgroup_driver: Literal["cgroupfs", "systemd"] = "cgroupfs"
    container_log_max_size: int = 10 * 2**20
    container_log_max_files: int = 5
    eviction_hard: dict[str, str] = field(
        default_factory=lambda: {"memory.available": "100Mi", "nodefs.available": "10%", "imagefs.available": "15%"}
    )
    image_gc_high: int = 85
    image_gc_low: int = 80
    kube_reserved: dict[str, str] = field(default_factory=dict)
    system_reserved: dict[str, str] = field(default_factory=dict)
    maximum_restart_delay: float = 300.0
    max_pods: int = 110
    lease_duration: float = 40.0
    status_report_period: float = 300.0
    status_update_period: float = 10.0
    pod_cidr: str = ""
    register_node: bool = True
    register_with_taints: tuple[dict[str, str], ...] = ()
    resolv_conf: str = "/etc/resolv.conf"
    rotate_certificates: bool = False
    server_tls_bootstrap: bool = False
    tls_cert_file: str = ""
    tls_key_file: str = ""
    # Fields that were given and do nothing here; the daemon's log names them.
    without_meaning: tuple[str, ...] = ()


def read(path: str) -> KubeletConfiguration:
    """The configuration in a file; ConfigurationError names the file and the field."""
    document = load(path, kind="KubeletConfiguration", api_versions=("kubelet.config.k8s.io/v1beta1",))
    return parse(document, where=path)


def parse(document: dict[str, Any], *, where: str) -> KubeletConfiguration:
    """`read` of a document without apiVersion and kind."""
    fields = Fields(where, document)
    base = KubeletConfiguration()
    ignored = tuple(sorted(_WITHOUT_MEANING & set(document)))
    fields.ignore(*_WITHOUT_MEANING)
    restarts = fields.child("crashLoopBackOff")
    authentication = fields.child("authentication")
    authorization = fields.child("authorization")
    webhook, webhook_authz = authentication.child("webhook"), authorization.child("webhook")
    if authentication.child("anonymous").get("enabled", bool, False):
        raise ConfigurationError(f"{where}.authentication.anonymous.enabled: anonymous requests are not supported")
    mode = authorization.get("mode", str, "Webhook")
    if mode not in {"Webhook", "AlwaysAllow"}:
        raise ConfigurationError(f'{where}.authorization.mode: want Webhook or AlwaysAllow, found "{mode}"')
    driver = fields.get("cgroupDriver", str, base.cgroup_driver)
    if driver not in {"cgroupfs", "systemd"}:
        raise ConfigurationError(f'{where}.cgroupDriver: want cgroupfs or systemd, found "{driver}"')
    size = fields.get("containerLogMaxSize", str, "10Mi")
    try:
        log_size = quantities.whole(size)
    except quantities.QuantityError as error:
        raise ConfigurationError(f"{where}.containerLogMaxSize: {error}") from error
    result = KubeletConfiguration(
        address=fields.get("address", str, base.address),
        port=fields.get("port", int, base.port),
        healthz_address=fields.get("healthzBindAddress", str, base.healthz_address),
        healthz_port=fields.get("healthzPort", int, base.healthz_port),
        client_ca_file=authentication.child("x509").get("clientCAFile", str, ""),
        webhook_authentication=webhook.get("enabled", bool, True),
        authentication_ttl=webhook.seconds("cacheTTL", base.authentication_ttl) or base.authentication_ttl,
        webhook_authorization=mode == "Webhook",
        authorized_ttl=webhook_authz.seconds("cacheAuthorizedTTL", 0.0) or base.authorized_ttl,
        unauthorized_ttl=webhook_authz.seconds("cacheUnauthorizedTTL", 0.0) or base.unauthorized_ttl,
        cluster_dns=tuple(fields.get("clusterDNS", list, [])),
        cluster_domain=fields.get("clusterDomain", str, base.cluster_domain),
        container_runtime_endpoint=fields.get("containerRuntimeEndpoint", str, base.container_runtime_endpoint),
        cgroup_driver=driver,
        container_log_max_size=log_size,
        container_log_max_files=fields.get("containerLogMaxFiles", int, base.container_log_max_files),
        eviction_hard=fields.get("evictionHard", dict, base.eviction_hard),
        image_gc_high=fields.get("imageGCHighThresholdPercent", int, base.image_gc_high),
        image_gc_low=fields.get("imageGCLowThresholdPercent", int, base.image_gc_low),
        kube_reserved=fields.get("kubeReserved", dict, {}),
        system_reserved=fields.get("systemReserved", dict, {}),
        maximum_restart_delay=restarts.seconds("maxContainerRestartPeriod", base.maximum_restart_delay),
        max_pods=fields.get("maxPods", int, base.max_pods),
        lease_duration=float(fields.get("nodeLeaseDurationSeconds", int, 40)),
        status_report_period=fields.seconds("nodeStatusReportFrequency", base.status_report_period),
        status_update_period=fields.seconds("nodeStatusUpdateFrequency", base.status_update_period),
        pod_cidr=fields.get("podCIDR", str, ""),
        register_node=fields.get("registerNode", bool, True),
        register_with_taints=tuple(fields.get("registerWithTaints", list, [])),
        resolv_conf=fields.get("resolvConf", str, base.resolv_conf),
        rotate_certificates=fields.get("rotateCertificates", bool, False),
        server_tls_bootstrap=fields.get("serverTLSBootstrap", bool, False),
        tls_cert_file=fields.get("tlsCertFile", str, ""),
        tls_key_file=fields.get("tlsPrivateKeyFile", str, ""),
        without_meaning=ignored,
    )
    fields.close()
    return result
