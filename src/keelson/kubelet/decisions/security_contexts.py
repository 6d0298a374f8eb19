"""From securityContext fields to CRI's. The container's fields win over the pod's.

Rules: "Configure a Security Context for a Pod or Container", Pod Security Standards' defaults for /proc.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelson.api.meta import Object
from keelson.kubelet._gen import cri_pb2 as cri

from .environments import ConfigError

MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def namespaces(pod: Object) -> cri.NamespaceOption:
    """Which namespaces the pod has of its own, which it shares among its containers, which are the host's."""
    spec = pod["spec"]
    pid = cri.NODE if spec.get("hostPID") else cri.POD if spec.get("shareProcessNamespace") else cri.CONTAINER
    result = cri.NamespaceOption(
        network=cri.NODE if spec.get("hostNetwork") else cri.POD,
        pid=pid,
        ipc=cri.NODE if spec.get("hostIPC") else cri.POD,
    )
    if spec.get("hostUsers") is False:
        raise ConfigError("hostUsers: false: user namespaces are not supported by this node")
    return result


def _profile(found: Mapping[str, Any] | None, folder: str) -> cri.SecurityProfile:
    kind = (found or {}).get("type") or "Unconfined"
    if kind == "RuntimeDefault":
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault)
    if kind == "Localhost":
        reference = (found or {}).get("localhostProfile") or ""
        path = f"{folder}/{reference}" if folder else reference
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=path)
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined)


def _selinux(found: Mapping[str, Any] | None) -> cri.SELinuxOption | None:
    if not found:
        return None
    return cri.SELinuxOption(**{name: found.get(name) or "" for name in ("user", "role", "type", "level")})


def _groups(pod: Object) -> list[int]:
    context = pod["spec"].get("securityContext") or {}
    groups = list(context.get("supplementalGroups") or [])
    if context.get("fsGroup") is not None:
        groups.append(context["fsGroup"])
    return groups


def _groups_policy(pod: Object) -> Any:
    strict = (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict"
    return cri.SupplementalGroupsPolicy.Strict if strict else cri.SupplementalGroupsPolicy.Merge


def sandbox_context(pod: Object, *, seccomp_folder: str) -> cri.LinuxSandboxSecurityContext:
    """The sandbox's: privileged if a container is, the pod's user and groups, the default seccomp profile."""
    spec = pod["spec"]
    context = spec.get("securityContext") or {}
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    result = cri.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        privileged=any((found.get("securityContext") or {}).get("privileged") for found in containers),
        supplemental_groups=_groups(pod),
        supplemental_groups_policy=_groups_policy(pod),
        seccomp=_profile(context.get("seccompProfile") or {"type": "RuntimeDefault"}, seccomp_folder),
        selinux_options=_selinux(context.get("seLinuxOptions")),
    )
    # The sandbox's process needs no user of the pod's, but its devices and sysctls belong to it.
    if context.get("runAsUser") is not None:
        result.run_as_user.value = context["runAsUser"]
    if context.get("runAsGroup") is not None and context.get("runAsUser") is not None:
        result.run_as_group.value = context["runAsGroup"]
    return result


def container_context(
    pod: Object, container: Object, *, image_user: str, seccomp_folder: str, target_id: str = ""
) -> cri.LinuxContainerSecurityContext:
    """The container's; ConfigError where it must not run as root and would, or where that can't be told."""
    own: Mapping[str, Any] = container.get("securityContext") or {}
    shared: Mapping[str, Any] = pod["spec"].get("securityContext") or {}

    def value(name: str) -> Any:
        found = own.get(name)
        return shared.get(name) if found is None else found

    user, group = value("runAsUser"), value("runAsGroup")
    _check_non_root(container, bool(value("runAsNonRoot")), user, image_user)
    privileged = bool(own.get("privileged"))
    capabilities = own.get("capabilities") or {}
    options = namespaces(pod)
    if target_id:
        options.pid, options.target_id = cri.TARGET, target_id
    unmasked = privileged or own.get("procMount") == "Unmasked"
    result = cri.LinuxContainerSecurityContext(
        capabilities=cri.Capability(
            add_capabilities=capabilities.get("add") or [], drop_capabilities=capabilities.get("drop") or []
        ),
        privileged=privileged,
        namespace_options=options,
        selinux_options=_selinux(value("seLinuxOptions")),
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        supplemental_groups=_groups(pod),
        supplemental_groups_policy=_groups_policy(pod),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        masked_paths=() if unmasked else MASKED,
        readonly_paths=() if unmasked else READ_ONLY,
        seccomp=_profile(None if privileged else value("seccompProfile"), seccomp_folder),
    )
    if (profile := value("appArmorProfile")) is not None:
        result.apparmor.CopyFrom(_profile(profile, ""))
    if user is not None:
        result.run_as_user.value = user
    elif image_user.isdecimal():
        result.run_as_user.value = int(image_user)
    elif image_user:
        result.run_as_username = image_user
    if group is not None:
        result.run_as_group.value = group
        if user is None and not image_user:
            # CRI refuses a group without a user.
            result.run_as_user.value = 0
    return result


def _check_non_root(container: Object, demanded: bool, user: int | None, image_user: str) -> None:
    if not demanded:
        return
    where = f"(container: {container['name']})"
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if not image_user or image_user == "0":
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not image_user.isdecimal():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), "
            f"cannot verify user is non-root {where}"
        )
