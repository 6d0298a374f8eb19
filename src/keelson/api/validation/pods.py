"""The rules for pods and pod templates (core/v1 Pod, PodSpec, PodTemplateSpec)."""

from __future__ import annotations

import re
from typing import Any

from keelson.api.meta import Object
from keelson.api.validation import affinities, causes, containers, names, object_metadata, resources, volumes
from keelson.api.validation.causes import Causes

_RESTART_POLICIES = frozenset({"Always", "OnFailure", "Never"})
_DNS_POLICIES = frozenset({"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"})
_CONTAINER_RESTARTS = frozenset({"Always", "OnFailure", "Never"})
_IN_HOST_NETWORK = "must match `containerPort` when `hostNetwork` is true"
_NAMED_FIELDS = (
    ("serviceAccountName", names.dns_subdomain),
    ("nodeName", names.dns_subdomain),
    ("hostname", names.dns_label),
    ("subdomain", names.dns_label),
)
_WHEN_SCHEDULED = ("DoNotSchedule", "ScheduleAnyway")

# sysctl.d(5) allows both separators; the segments are the API reference's (PodSecurityContext, sysctls).
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = re.compile(rf"({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}")
_SYSCTL_LENGTH = 253


def _containers(out: Causes, path: str, spec: Object) -> None:
    found = spec.get("volumes")
    mountable, devices = volumes.volumes(out, f"{path}.volumes", found) if found else (set(), set())
    seen: set[str] = set()
    host_network = spec.get("hostNetwork")
    ordinary = spec.get("containers")
    if not ordinary:
        out.append(causes.required(f"{path}.containers"))
    for index, container in enumerate(ordinary or ()):
        where = f"{path}.containers[{index}]"
        containers.container(out, where, container, mountable, devices)
        containers.probes(out, where, container)
        _restart_policy(out, where, container)
        _unique(out, where, container, seen)
        if host_network:
            _host_ports(out, where, container)
    for index, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{index}]"
        containers.container(out, where, container, mountable, devices)
        if container.get("restartPolicy") == "Always":
            containers.probes(out, where, container)
        else:
            containers.no_probes(out, where, container)
        _restart_policy(out, where, container)
        _unique(out, where, container, seen)
        if host_network:
            _host_ports(out, where, container)
    _host_port_conflicts(out, f"{path}.containers", ordinary or ())
    targets = set(seen)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        where = f"{path}.ephemeralContainers[{index}]"
        containers.container(out, where, {k: v for k, v in container.items() if k != "resources"}, mountable, devices)
        containers.ephemeral(out, where, container, mountable, targets)
        _unique(out, where, container, seen)


def _restart_policy(out: Causes, path: str, container: Object) -> None:
    policy = container.get("restartPolicy")
    if policy is not None and policy not in _CONTAINER_RESTARTS:
        out.append(causes.unsupported(f"{path}.restartPolicy", policy, _CONTAINER_RESTARTS))


def _unique(out: Causes, path: str, container: Object, seen: set[str]) -> None:
    name = container.get("name")
    if name:
        if name in seen:
            out.append(causes.duplicate(f"{path}.name", name))
        seen.add(name)


def _host_ports(out: Causes, path: str, container: Object) -> None:
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort") != port.get("containerPort"):
            out.append(causes.invalid(f"{path}.ports[{index}].hostPort", port.get("hostPort"), _IN_HOST_NETWORK))


def _host_port_conflicts(out: Causes, path: str, found: Any) -> None:
    taken: set[tuple[Any, ...]] = set()
    for index, container in enumerate(found):
        for number, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = (port.get("protocol"), port.get("hostIP") or "", port["hostPort"])
                if key in taken:
                    shown = f"{key[0]}/{key[1]}/{key[2]}"
                    out.append(causes.duplicate(f"{path}[{index}].ports[{number}].hostPort", shown))
                taken.add(key)


def _security(out: Causes, path: str, context: Object, spec: Object) -> None:
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        causes.non_negative(out, f"{path}.{field}", context.get(field))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        causes.non_negative(out, f"{path}.supplementalGroups[{index}]", group)
    seen: set[str] = set()
    for index, sysctl in enumerate(context.get("sysctls") or ()):
        name = sysctl.get("name")
        if not name:
            out.append(causes.required(f"{path}.sysctls[{index}].name"))
        elif len(name) > _SYSCTL_LENGTH or not _SYSCTL.fullmatch(name):
            detail = f"must have at most {_SYSCTL_LENGTH} characters and match regex ^{_SYSCTL.pattern}$"
            out.append(causes.invalid(f"{path}.sysctls[{index}].name", name, detail))
        elif name in seen:
            out.append(causes.duplicate(f"{path}.sysctls[{index}].name", name))
        seen.add(name)
    if context.get("fsGroupChangePolicy", "Always") not in ("OnRootMismatch", "Always"):
        supported = ("OnRootMismatch", "Always")
        out.append(causes.unsupported(f"{path}.fsGroupChangePolicy", context["fsGroupChangePolicy"], supported))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        out.append(causes.invalid(f"{path}.shareProcessNamespace", True, detail))


def _spread(out: Causes, path: str, constraints: list[Object]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        if (constraint.get("maxSkew") or 0) <= 0:
            out.append(causes.invalid(f"{where}.maxSkew", constraint.get("maxSkew") or 0, "must be greater than zero"))
        key, when = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
        if not key:
            out.append(causes.required(f"{where}.topologyKey", "can not be empty"))
        elif names.qualified_name(key):
            out.append(causes.invalid(f"{where}.topologyKey", key, names.qualified_name(key)))
        causes.one_of(out, f"{where}.whenUnsatisfiable", when, _WHEN_SCHEDULED)
        if (key, when) in seen:
            out.append(causes.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {when}}}"))
        seen.add((key, when))
        domains = constraint.get("minDomains")
        if domains is not None and domains <= 0:
            out.append(causes.invalid(f"{where}.minDomains", domains, "must be greater than zero"))
        affinities.selector(out, f"{where}.labelSelector", constraint.get("labelSelector"))


def _dns(out: Causes, path: str, spec: Object) -> None:
    config = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or []
    if spec.get("dnsPolicy") == "None" and not servers:
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        out.append(causes.required(f"{path}.dnsConfig.nameservers", detail))
    if len(servers) > 3:
        out.append(causes.invalid(f"{path}.dnsConfig.nameservers", servers, "must not have more than 3 nameservers"))
    for index, server in enumerate(servers):
        complaint = names.ip_address(server)
        if complaint:
            out.append(causes.invalid(f"{path}.dnsConfig.nameservers[{index}]", server, complaint))


def pod_spec(out: Causes, path: str, spec: Object) -> None:
    """A PodSpec wherever it stands. Appends to `out`."""
    _containers(out, path, spec)
    if spec.get("restartPolicy") not in _RESTART_POLICIES:
        causes.one_of(out, f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    if spec.get("dnsPolicy") not in _DNS_POLICIES:
        causes.one_of(out, f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    if "dnsConfig" in spec or spec.get("dnsPolicy") == "None":
        _dns(out, path, spec)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        causes.non_negative(out, f"{path}.terminationGracePeriodSeconds", spec["terminationGracePeriodSeconds"])
    for field, check in _NAMED_FIELDS:
        name = spec.get(field)
        if name:
            complaint = check(name)
            if complaint:
                out.append(causes.invalid(f"{path}.{field}", name, complaint))
    if spec.get("nodeSelector"):
        object_metadata.label_map(out, f"{path}.nodeSelector", spec["nodeSelector"])
    if spec.get("affinity"):
        affinities.affinity(out, f"{path}.affinity", spec["affinity"])
    if spec.get("tolerations"):
        affinities.tolerations(out, f"{path}.tolerations", spec["tolerations"])
    if spec.get("topologySpreadConstraints"):
        _spread(out, f"{path}.topologySpreadConstraints", spec["topologySpreadConstraints"])
    if spec.get("securityContext"):
        _security(out, f"{path}.securityContext", spec["securityContext"], spec)
    if spec.get("resources"):
        resources.requirements(out, f"{path}.resources", spec["resources"])
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        detail = "must be between 1 and 2147483647, inclusive"
        out.append(causes.invalid(f"{path}.activeDeadlineSeconds", deadline, detail))
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            out.append(causes.required(f"{path}.imagePullSecrets[{index}].name"))
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        complaint = names.ip_address(alias.get("ip") or "")
        if complaint:
            out.append(causes.invalid(f"{path}.hostAliases[{index}].ip", alias.get("ip"), complaint))
    if spec.get("schedulingGates"):
        _gates(out, path, spec)


def _gates(out: Causes, path: str, spec: Object) -> None:
    gates = [gate.get("name") for gate in spec["schedulingGates"]]
    for index, gate in enumerate(gates):
        complaint = names.qualified_name(gate or "")
        if complaint:
            out.append(causes.invalid(f"{path}.schedulingGates[{index}].name", gate, complaint))
        elif gate in gates[:index]:
            out.append(causes.duplicate(f"{path}.schedulingGates[{index}].name", gate))
    if spec.get("nodeName"):
        detail = "cannot be set until all schedulingGates have been cleared"
        out.append(causes.forbidden(f"{path}.nodeName", detail))


def pod_template(out: Causes, path: str, template: Object | None) -> None:
    """A PodTemplateSpec. Appends to `out`."""
    if template is None:
        out.append(causes.required(path))
        return
    object_metadata.template(out, f"{path}.metadata", template.get("metadata") or {})
    pod_spec(out, f"{path}.spec", template.get("spec") or {})
    if (template.get("spec") or {}).get("ephemeralContainers"):
        out.append(
            causes.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")
        )


def create(obj: Object) -> Causes:
    """A Pod that is about to be created."""
    out: Causes = []
    spec = obj.get("spec") or {}
    pod_spec(out, "spec", spec)
    if spec.get("ephemeralContainers"):
        out.append(causes.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return out


def create_template(obj: Object) -> Causes:
    """A core/v1 PodTemplate."""
    out: Causes = []
    pod_template(out, "template", obj.get("template"))
    return out


CREATE = {("v1", "Pod"): create, ("v1", "PodTemplate"): create_template}
