"""The rules for containers: ordinary, init and ephemeral ones (core/v1 Container, EphemeralContainer)."""

from __future__ import annotations

from typing import Any

from keelson.api.meta import Object
from keelson.api.validation import causes, names, resources
from keelson.api.validation.causes import Causes

_PULL_POLICIES = frozenset({"Always", "IfNotPresent", "Never"})
_PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})
_MESSAGE_POLICIES = frozenset({"File", "FallbackToLogsOnError"})
_SCHEMES = frozenset({"HTTP", "HTTPS"})
_PROPAGATIONS = frozenset({"None", "HostToContainer", "Bidirectional"})
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ENV_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_LIFECYCLE_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_NOT_EPHEMERAL = ("lifecycle", *_PROBES, "ports", "resources")


def _port_complaint(port: Any) -> str:
    return names.port_number(port) if isinstance(port, int) else names.port_name(port or "")


def port_reference(out: Causes, path: str, port: Any) -> None:
    """An IntOrString that is a port's number or name."""
    complaint = _port_complaint(port)
    if complaint:
        out.append(causes.invalid(path, port, complaint))


def _handler(out: Causes, path: str, handler: Object, kinds: tuple[str, ...]) -> None:
    given = [kind for kind in kinds if kind in handler]
    if not given:
        out.append(causes.required(path, "must specify a handler type"))
        return
    for extra in given[1:]:
        out.append(causes.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type"))
    kind = given[0]
    action = handler[kind]
    where = f"{path}.{kind}"
    match kind:
        case "exec":
            if not action.get("command"):
                out.append(causes.required(f"{where}.command"))
        case "httpGet":
            if not action.get("path"):
                out.append(causes.required(f"{where}.path"))
            if _port_complaint(action.get("port")):
                port_reference(out, f"{where}.port", action.get("port"))
            if action.get("scheme") not in _SCHEMES:
                out.append(causes.unsupported(f"{where}.scheme", action.get("scheme"), _SCHEMES))
        case "tcpSocket":
            port_reference(out, f"{where}.port", action.get("port"))
        case "grpc":
            complaint = names.port_number(action.get("port") or 0)
            if complaint:
                out.append(causes.invalid(f"{where}.port", action.get("port") or 0, complaint))


def _probe(out: Causes, path: str, probe: Object) -> None:
    _handler(out, path, probe, _HANDLERS)
    for field in _PROBE_NUMBERS:
        if probe.get(field, 0) < 0:
            causes.non_negative(out, f"{path}.{field}", probe[field])
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        out.append(causes.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))


def _environment(out: Causes, path: str, variables: list[Object]) -> None:
    for index, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            out.append(causes.required(f"{path}[{index}].name"))
        else:
            complaint = names.env_name(name)
            if complaint:
                out.append(causes.invalid(f"{path}[{index}].name", name, complaint))
        source = variable.get("valueFrom")
        if source is not None:
            _environment_source(out, f"{path}[{index}].valueFrom", variable, source)


def _environment_source(out: Causes, path: str, variable: Object, source: Object) -> None:
    given = [kind for kind in _ENV_SOURCES if kind in source]
    if variable.get("value"):
        out.append(causes.invalid(path, "", "may not be specified when `value` is not empty"))
    if not given:
        supported = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        out.append(causes.invalid(path, "", f"must specify one of: {supported}"))
    elif len(given) > 1:
        out.append(causes.invalid(path, "", "may not have more than one field specified at a time"))
    for kind in given:
        found = source[kind]
        if kind in ("configMapKeyRef", "secretKeyRef"):
            key_reference(out, f"{path}.{kind}", found)
        elif kind == "fieldRef":
            field_reference(out, f"{path}.{kind}", found, _ENV_FIELDS)
        elif kind == "resourceFieldRef" and not found.get("resource"):
            out.append(causes.required(f"{path}.{kind}.resource"))


def key_reference(out: Causes, path: str, selector: Object) -> None:
    """A SecretKeySelector or ConfigMapKeySelector."""
    key = selector.get("key")
    if not key:
        out.append(causes.required(f"{path}.key"))
        return
    complaint = names.config_key(key)
    if complaint:
        out.append(causes.invalid(f"{path}.key", key, complaint))


def field_reference(out: Causes, path: str, reference: Object, supported: frozenset[str]) -> None:
    """An ObjectFieldSelector: one of the fields, or one label or annotation by its key."""
    field = reference.get("fieldPath")
    if not reference.get("apiVersion"):
        out.append(causes.required(f"{path}.apiVersion"))
    elif not field:
        out.append(causes.required(f"{path}.fieldPath"))
    elif field not in supported:
        base, bracket, rest = field.partition("['")
        if not (bracket and rest.endswith("']") and base in ("metadata.labels", "metadata.annotations")):
            out.append(causes.unsupported(f"{path}.fieldPath", field, supported))
        else:
            key = rest[:-2]
            complaint = names.qualified_name(key if base == "metadata.labels" else key.lower())
            if complaint:
                out.append(causes.invalid(path, key, complaint))


def _ports(out: Causes, path: str, ports: list[Object]) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name")
        if name:
            complaint = names.port_name(name)
            if complaint:
                out.append(causes.invalid(f"{path}[{index}].name", name, complaint))
            elif name in seen:
                out.append(causes.duplicate(f"{path}[{index}].name", name))
            seen.add(name)
        number = port.get("containerPort")
        if not number:
            out.append(causes.required(f"{path}[{index}].containerPort"))
        elif not 1 <= number <= 65535:
            out.append(causes.invalid(f"{path}[{index}].containerPort", number, names.port_number(number)))
        host_port = port.get("hostPort")
        if host_port and not 1 <= host_port <= 65535:
            out.append(causes.invalid(f"{path}[{index}].hostPort", host_port, names.port_number(host_port)))
        if port.get("protocol") not in _PROTOCOLS:
            causes.one_of(out, f"{path}[{index}].protocol", port.get("protocol"), _PROTOCOLS)


def _mounts(out: Causes, path: str, mounts: list[Object], volumes: set[str]) -> None:
    points: set[str] = set()
    for index, mount in enumerate(mounts):
        name, point = mount.get("name"), mount.get("mountPath")
        if not name:
            out.append(causes.required(f"{path}[{index}].name"))
        elif name not in volumes:
            out.append(causes.not_found(f"{path}[{index}].name", name))
        if not point:
            out.append(causes.required(f"{path}[{index}].mountPath"))
        elif point in points:
            out.append(causes.invalid(f"{path}[{index}].mountPath", point, "must be unique"))
        else:
            points.add(point)
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                sub_path(out, f"{path}[{index}].{field}", mount[field])
        if mount.get("subPath") and mount.get("subPathExpr"):
            out.append(causes.invalid(f"{path}[{index}].subPathExpr", mount["subPathExpr"], _EXCLUSIVE))
        if "mountPropagation" in mount and mount["mountPropagation"] not in _PROPAGATIONS:
            out.append(
                causes.unsupported(f"{path}[{index}].mountPropagation", mount["mountPropagation"], _PROPAGATIONS)
            )


_EXCLUSIVE = "subPathExpr and subPath are mutually exclusive"


def sub_path(out: Causes, path: str, text: str) -> None:
    """A relative path that never climbs."""
    if text.startswith("/"):
        out.append(causes.invalid(path, text, "must be a relative path"))
    elif ".." in text.split("/"):
        out.append(causes.invalid(path, text, "must not contain '..'"))


def _security(out: Causes, path: str, context: Object) -> None:
    for field in ("runAsUser", "runAsGroup"):
        causes.non_negative(out, f"{path}.{field}", context.get(field))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            out.append(causes.invalid(path, context, detail))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            out.append(causes.invalid(path, context, detail))
    if "procMount" in context and context["procMount"] not in ("Default", "Unmasked"):
        out.append(causes.unsupported(f"{path}.procMount", context["procMount"], ("Default", "Unmasked")))


def container(out: Causes, path: str, found: Object, volumes: set[str], devices: set[str]) -> None:
    """What every kind of container must obey; `volumes` and `devices` are the names that mounts may use."""
    name = found.get("name")
    if not name:
        out.append(causes.required(f"{path}.name"))
    else:
        complaint = names.dns_label(name)
        if complaint:
            out.append(causes.invalid(f"{path}.name", name, complaint))
    image = found.get("image")
    if not image:
        out.append(causes.required(f"{path}.image"))
    elif image != image.strip():
        out.append(causes.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    if found.get("imagePullPolicy") not in _PULL_POLICIES:
        causes.one_of(out, f"{path}.imagePullPolicy", found.get("imagePullPolicy"), _PULL_POLICIES)
    if found.get("terminationMessagePolicy") not in _MESSAGE_POLICIES:
        causes.one_of(out, f"{path}.terminationMessagePolicy", found.get("terminationMessagePolicy"), _MESSAGE_POLICIES)
    if found.get("ports"):
        _ports(out, f"{path}.ports", found["ports"])
    if found.get("env"):
        _environment(out, f"{path}.env", found["env"])
    for index, source in enumerate(found.get("envFrom") or ()):
        _environment_from(out, f"{path}.envFrom[{index}]", source)
    if found.get("volumeMounts"):
        _mounts(out, f"{path}.volumeMounts", found["volumeMounts"], volumes)
    for index, device in enumerate(found.get("volumeDevices") or ()):
        if device.get("name") not in devices:
            out.append(causes.not_found(f"{path}.volumeDevices[{index}].name", device.get("name")))
        if not device.get("devicePath"):
            out.append(causes.required(f"{path}.volumeDevices[{index}].devicePath"))
    if found.get("resources"):
        resources.requirements(out, f"{path}.resources", found["resources"])
    if "securityContext" in found:
        _security(out, f"{path}.securityContext", found["securityContext"])


def _environment_from(out: Causes, path: str, source: Object) -> None:
    given = [kind for kind in ("configMapRef", "secretRef") if kind in source]
    if not given:
        out.append(causes.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        out.append(causes.invalid(path, "", "may not have more than one field specified at a time"))
    for kind in given:
        if not source[kind].get("name"):
            out.append(causes.required(f"{path}.{kind}.name"))


def probes(out: Causes, path: str, found: Object) -> None:
    """The probes and hooks of a container that keeps running."""
    for field in _PROBES:
        probe = found.get(field)
        if probe is not None:
            _probe(out, f"{path}.{field}", probe)
            if field != "readinessProbe" and probe.get("successThreshold", 1) != 1:
                out.append(causes.invalid(f"{path}.{field}.successThreshold", probe["successThreshold"], "must be 1"))
    lifecycle = found.get("lifecycle")
    if lifecycle:
        for hook in ("postStart", "preStop"):
            if hook in lifecycle:
                _handler(out, f"{path}.lifecycle.{hook}", lifecycle[hook], _LIFECYCLE_HANDLERS)


def no_probes(out: Causes, path: str, found: Object) -> None:
    """An init container that ends has nothing to probe."""
    for field in ("lifecycle", *_PROBES):
        if found.get(field) is not None:
            out.append(
                causes.forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")
            )


def ephemeral(out: Causes, path: str, found: Object, volumes: set[str], targets: set[str]) -> None:
    """What differs for ephemeral containers: nothing that would need planning."""
    for field in _NOT_EPHEMERAL:
        if found.get(field):
            out.append(causes.forbidden(f"{path}.{field}", "cannot be set for an Ephemeral Container"))
    target = found.get("targetContainerName")
    if target and target not in targets:
        out.append(causes.not_found(f"{path}.targetContainerName", target))
    for index, mount in enumerate(found.get("volumeMounts") or ()):
        if mount.get("subPath"):
            out.append(
                causes.forbidden(f"{path}.volumeMounts[{index}].subPath", "cannot be set for an Ephemeral Container")
            )
