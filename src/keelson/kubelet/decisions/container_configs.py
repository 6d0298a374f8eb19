"""The configurations that the runtime makes sandboxes and containers from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kubelet._gen import cri_pb2 as cri

from . import observations, resource_limits, security_contexts
from .environments import ConfigError, expand
from .network_files import Dns, uts_hostname


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the host at a path of the container."""

    container_path: str
    host_path: str
    read_only: bool = False
    propagation: Literal["None", "HostToContainer", "Bidirectional"] = "None"
    recursive_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What of the node shapes every container on it."""

    enforced: frozenset[str] = frozenset()
    memory_capacity: int = 0
    cgroup_driver: Literal["cgroupfs", "systemd"] = "systemd"
    cluster_domain: str = "cluster.local"
    seccomp_folder: str = "/var/lib/kubelet/seccomp"
    log_folder: str = "/var/log/pods"


def all_containers(pod: Object) -> list[Object]:
    """Init, regular and ephemeral containers, in this order."""
    spec = pod["spec"]
    return [*(spec.get("initContainers") or []), *spec["containers"], *(spec.get("ephemeralContainers") or [])]


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Whether an init container keeps running beside the regular ones (KEP-753). Ask only of init containers."""
    return container.get("restartPolicy") == "Always"


def spec_hash(container: Mapping[str, Any]) -> str:
    """A digest of what a running container can't change: its name and image. FNV-1a, 32 bits, in hexadecimal."""
    picked = json.dumps({"image": container.get("image", ""), "name": container["name"]}, separators=(",", ":"))
    value = 0x811C9DC5
    for byte in picked.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:x}"


def log_directory(pod: Object, facts: NodeFacts) -> str:
    """Where the pod's logs lie: one folder a container, one file an instance."""
    return f"{facts.log_folder}/{meta.namespace(pod)}_{meta.name(pod)}_{meta.uid(pod)}"


def port_mappings(containers: Iterable[Mapping[str, Any]]) -> list[cri.PortMapping]:
    """The ports that are to be reached on the host."""
    return [
        cri.PortMapping(
            protocol=port.get("protocol") or "TCP",
            container_port=port["containerPort"],
            host_port=port["hostPort"],
            host_ip=port.get("hostIP") or "",
        )
        for container in containers
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]


def sandbox_config(pod: Object, dns: Dns, facts: NodeFacts, *, attempt: int) -> cri.PodSandboxConfig:
    """The sandbox's configuration."""
    spec = pod["spec"]
    host_network = bool(spec.get("hostNetwork"))
    sidecars = [found for found in spec.get("initContainers") or [] if is_sidecar(found)]
    linux = cri.LinuxPodSandboxConfig(
        security_context=security_contexts.sandbox_context(pod, seccomp_folder=facts.seccomp_folder),
        sysctls={found["name"]: found["value"] for found in (spec.get("securityContext") or {}).get("sysctls") or []},
    )
    if facts.enforced:
        linux.cgroup_parent = resource_limits.cgroup_parent(pod, driver=facts.cgroup_driver)
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(
            name=meta.name(pod), namespace=meta.namespace(pod), uid=meta.uid(pod), attempt=attempt
        ),
        hostname="" if host_network else uts_hostname(pod, cluster_domain=facts.cluster_domain),
        log_directory=log_directory(pod, facts),
        dns_config=cri.DNSConfig(servers=dns.servers, searches=dns.searches, options=dns.options),
        port_mappings=[] if host_network else port_mappings([*sidecars, *spec["containers"]]),
        labels={**meta.labels(pod), **pod_labels(pod)},
        annotations=meta.annotations(pod),
        linux=linux,
    )


def pod_labels(pod: Object) -> dict[str, str]:
    """The labels by which what the runtime has is matched to the pod."""
    return {
        observations.POD_NAME: meta.name(pod),
        observations.POD_NAMESPACE: meta.namespace(pod),
        observations.POD_UID: meta.uid(pod),
    }


def container_config(
    pod: Object,
    container: Object,
    facts: NodeFacts,
    *,
    restart_count: int,
    image_id: str,
    image_user: str,
    environment: Sequence[tuple[str, str]],
    mounts: Sequence[Mount],
    target_id: str = "",
) -> cri.ContainerConfig:
    """The container's configuration; ConfigError where its security context forbids it to run."""
    values = dict(environment)
    grace = pod["spec"].get("terminationGracePeriodSeconds")
    annotations = {
        observations.CONTAINER_HASH: spec_hash(container),
        observations.RESTART_COUNT: str(restart_count),
        observations.TERMINATION_PATH: container.get("terminationMessagePath") or "/dev/termination-log",
        observations.TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
        observations.GRACE_PERIOD: str(30 if grace is None else grace),
    }
    result = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=container["name"], attempt=restart_count),
        image=cri.ImageSpec(image=image_id, user_specified_image=container.get("image", "")),
        command=[expand(part, values) for part in container.get("command") or []],
        args=[expand(part, values) for part in container.get("args") or []],
        working_dir=container.get("workingDir") or "",
        envs=[cri.KeyValue(key=name, value=_bytes(value)) for name, value in environment],
        mounts=[_mount(found) for found in mounts],
        labels={**pod_labels(pod), observations.CONTAINER_NAME: container["name"]},
        annotations=annotations,
        log_path=f"{container['name']}/{restart_count}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=cri.LinuxContainerConfig(
            resources=resource_limits.linux_resources(
                pod, container, enforced=facts.enforced, memory_capacity=facts.memory_capacity
            ),
            security_context=security_contexts.container_context(
                pod, container, image_user=image_user, seccomp_folder=facts.seccomp_folder, target_id=target_id
            ),
        ),
    )
    if signal := (container.get("lifecycle") or {}).get("stopSignal"):
        if signal not in cri.Signal.keys():  # noqa: SIM118 - an enum of protobuf is no mapping
            raise ConfigError(f"unknown stop signal {signal}")
        result.MergeFrom(cri.ContainerConfig(stop_signal=signal))
    return result


def _bytes(value: str) -> bytes:
    return value.encode(errors="surrogateescape")


def _mount(mount: Mount) -> cri.Mount:
    propagations = {
        "None": cri.PROPAGATION_PRIVATE,
        "HostToContainer": cri.PROPAGATION_HOST_TO_CONTAINER,
        "Bidirectional": cri.PROPAGATION_BIDIRECTIONAL,
    }
    return cri.Mount(
        container_path=mount.container_path,
        host_path=mount.host_path,
        readonly=mount.read_only,
        propagation=propagations[mount.propagation],
        recursive_read_only=mount.recursive_read_only,
    )
