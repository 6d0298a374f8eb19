"""A container's environment: literals, references, the pod's own fields, and the services of its namespace.

Rules: "Define Environment Variables for a Container", "Dependent Environment Variables", "Service environment
variables" (Kubernetes documentation), EnvVarSource and ResourceFieldSelector of the API reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any

from keelson.api import meta, quantities
from keelson.api.meta import Object


class ConfigError(Exception):
    """The container can't be made from what there is now: waiting reason CreateContainerConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What references may point at. A name that maps to None is known not to exist."""

    config_maps: Mapping[str, Object | None] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes] | None] = field(default_factory=dict)
    services: tuple[Object, ...] = ()
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    # The node's allocatable, which stands in for limits that a container does not set.
    allocatable: Mapping[str, Any] = field(default_factory=dict)


_REFERENCE = re.compile(r"\$(?:\$|\(([^()$]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace $(NAME) by its value where there is one; $$ is a dollar sign that begins nothing."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return _REFERENCE.sub(one, text)


def references(pod: Object) -> tuple[set[str], set[str]]:
    """Names of the ConfigMaps and of the Secrets that the pod's containers and volumes refer to."""
    config_maps: set[str] = set()
    secrets: set[str] = set()

    def note(holder: Mapping[str, Any], config_map: str, secret: str, name: str = "name") -> None:
        if found := holder.get(config_map):
            config_maps.add(found.get("name", ""))
        if found := holder.get(secret):
            secrets.add(found.get(name) or found.get("name", ""))

    spec = pod["spec"]
    for container in [
        *(spec.get("initContainers") or []),
        *spec["containers"],
        *(spec.get("ephemeralContainers") or []),
    ]:
        for source in container.get("envFrom") or []:
            note(source, "configMapRef", "secretRef")
        for variable in container.get("env") or []:
            note(variable.get("valueFrom") or {}, "configMapKeyRef", "secretKeyRef")
    for volume in spec.get("volumes") or []:
        note(volume, "configMap", "secret", "secretName")
        for source in (volume.get("projected") or {}).get("sources") or []:
            note(source, "configMap", "secret")
    secrets |= {found.get("name", "") for found in spec.get("imagePullSecrets") or []}
    return config_maps - {""}, secrets - {""}


def environment(pod: Object, container: Object, sources: Sources) -> list[tuple[str, str]]:
    """The variables in the order in which they are set; ConfigError where a reference that must hold does not."""
    result: dict[str, str] = {}
    services = service_variables(pod, sources.services)
    for source in container.get("envFrom") or []:
        result.update(_from_all(source, sources))
    for variable in container.get("env") or []:
        name = variable["name"]
        if (origin := variable.get("valueFrom")) is not None:
            value = _from_one(pod, container, origin, sources)
            if value is None:
                continue
        else:
            value = expand(variable.get("value") or "", {**services, **result})
        result[name] = value
    result = {**{name: value for name, value in services.items() if name not in result}, **result}
    return list(result.items())


def _from_all(source: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if (reference := source.get("configMapRef")) is not None:
        config_map = sources.config_maps.get(reference.get("name", ""))
        if config_map is None:
            _missing("configmap", reference)
            return {}
        return {prefix + key: value for key, value in sorted((config_map.get("data") or {}).items())}
    reference = source.get("secretRef") or {}
    secret = sources.secrets.get(reference.get("name", ""))
    if secret is None:
        _missing("secret", reference)
        return {}
    return {prefix + key: value.decode(errors="surrogateescape") for key, value in sorted(secret.items())}


def _missing(kind: str, reference: Mapping[str, Any], key: str = "") -> str | None:
    if reference.get("optional"):
        return None
    name = reference.get("name", "")
    if key:
        raise ConfigError(f"couldn't find key {key} in {kind} {name}")
    raise ConfigError(f'{kind} "{name}" not found')


def _from_one(pod: Object, container: Object, origin: Mapping[str, Any], sources: Sources) -> str | None:
    if (reference := origin.get("fieldRef")) is not None:
        return field_value(pod, reference["fieldPath"], sources)
    if (reference := origin.get("resourceFieldRef")) is not None:
        return resource_value(pod, container, reference, sources.allocatable)
    if (reference := origin.get("configMapKeyRef")) is not None:
        config_map = sources.config_maps.get(reference.get("name", ""))
        if config_map is None:
            return _missing("configmap", reference)
        found = (config_map.get("data") or {}).get(reference["key"])
        return _missing("ConfigMap", reference, reference["key"]) if found is None else str(found)
    if (reference := origin.get("secretKeyRef")) is not None:
        secret = sources.secrets.get(reference.get("name", ""))
        if secret is None:
            return _missing("secret", reference)
        content = secret.get(reference["key"])
        if content is None:
            return _missing("Secret", reference, reference["key"])
        return content.decode(errors="surrogateescape")
    raise ConfigError("valueFrom names no source that this kubelet knows")


_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


def field_value(pod: Object, path: str, sources: Sources) -> str:
    """A field of the pod as text (the downward API); ConfigError for a field that can't be had."""
    if match := _SUBSCRIPT.fullmatch(path):
        held = meta.labels(pod) if match[1] == "labels" else meta.annotations(pod)
        return held.get(match[2], "")
    spec = pod.get("spec") or {}
    simple: dict[str, str] = {
        "metadata.name": meta.name(pod),
        "metadata.namespace": meta.namespace(pod),
        "metadata.uid": meta.uid(pod),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": next(iter(sources.host_ips), ""),
        "status.hostIPs": ",".join(sources.host_ips),
        "status.podIP": next(iter(sources.pod_ips), ""),
        "status.podIPs": ",".join(sources.pod_ips),
    }
    if path in simple:
        return simple[path]
    if path in {"metadata.labels", "metadata.annotations"}:
        held = meta.labels(pod) if path.endswith("labels") else meta.annotations(pod)
        return "\n".join(f"{key}={_quoted(held[key])}" for key in sorted(held))
    raise ConfigError(f"unsupported fieldPath: {path}")


def _quoted(value: str) -> str:
    # Go's %q as far as label and annotation values need it.
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(char, char) for char in value) + '"'


def resource_value(pod: Object, container: Object, reference: Mapping[str, Any], allocatable: Mapping[str, Any]) -> str:
    """A container's request or limit in units of the divisor, rounded up; unset limits are the node's allocatable."""
    wanted = reference.get("containerName")
    if wanted and wanted != container.get("name"):
        everyone = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
        container = next((found for found in everyone if found["name"] == wanted), {})
        if not container:
            raise ConfigError(f"container {wanted} not found")
    section, _, resource = str(reference["resource"]).partition(".")
    if section not in {"limits", "requests"} or not resource:
        raise ConfigError(f"unsupported resource: {reference['resource']}")
    amount = ((container.get("resources") or {}).get(section) or {}).get(resource)
    if amount is None:
        amount = allocatable.get(resource, 0) if section == "limits" else 0
    divisor = quantities.parse(reference.get("divisor") or "0") or Decimal(1)
    return str(int((quantities.parse(amount) / divisor).to_integral_value(ROUND_CEILING)))


def service_variables(pod: Object, services: Iterable[Object]) -> dict[str, str]:
    """Docker-link variables of the services that the pod is told of: `kubernetes`, and its namespace's if it wants."""
    links = (pod.get("spec") or {}).get("enableServiceLinks", True)
    chosen: dict[str, Object] = {}
    for service in services:
        spec = service.get("spec") or {}
        if spec.get("clusterIP") in {None, "", "None"} or not spec.get("ports"):
            continue
        name, namespace = meta.name(service), meta.namespace(service)
        master = namespace == "default" and name == "kubernetes"
        if namespace == meta.namespace(pod) and (links or master):
            chosen[name] = service
        elif master:
            chosen.setdefault(name, service)
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result.update(_links(name, chosen[name]["spec"]))
    return result


def _links(name: str, spec: Mapping[str, Any]) -> dict[str, str]:
    upper = name.upper().replace("-", "_")
    address = spec["clusterIP"]
    host = f"[{address}]" if ":" in address else address
    ports = spec["ports"]
    result = {f"{upper}_SERVICE_HOST": address, f"{upper}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            result[f"{upper}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = (port.get("protocol") or "TCP").lower()
        url = f"{protocol}://{host}:{port['port']}"
        if index == 0:
            result[f"{upper}_PORT"] = url
        prefix = f"{upper}_PORT_{port['port']}_{protocol.upper()}"
        result |= {
            prefix: url,
            f"{prefix}_PROTO": protocol,
            f"{prefix}_PORT": str(port["port"]),
            f"{prefix}_ADDR": address,
        }
    return result
