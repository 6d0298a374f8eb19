"""The EndpointSlices of a Service: which pods are its endpoints, in slices of at most 100 (KEP-752)."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

from . import pods

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
_MAXIMUM = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """Slices to create (named by the server), to replace and to delete."""

    create: tuple[Object, ...]
    update: tuple[Object, ...]
    delete: tuple[Object, ...]


def plan(service: Object, selected: Sequence[Object], nodes: Mapping[str, Object], slices: Sequence[Object]) -> Plan:
    """How the service's slices must change; `selected` are the pods that its selector matches."""
    wanted: dict[tuple[str, str], list[Object]] = {}
    ports_of: dict[tuple[str, str], list[Object]] = {}
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    for pod in sorted(selected, key=meta.key):
        for family in families:
            endpoint = _endpoint(service, pod, nodes, family)
            if endpoint is None:
                continue
            ports = pod_ports(service, pod)
            group = family, _fingerprint(ports)
            wanted.setdefault(group, []).append(endpoint)
            ports_of[group] = ports
    if not wanted:
        # A placeholder, so that readers can tell "no endpoints" from "not yet looked at".
        group = families[0], _fingerprint([])
        wanted[group], ports_of[group] = [], []
    existing: dict[tuple[str, str], list[Object]] = {}
    for found in slices:
        existing.setdefault((found["addressType"], _fingerprint(found.get("ports") or [])), []).append(found)
    create: list[Object] = []
    update: list[Object] = []
    delete: list[Object] = []
    for group, endpoints in wanted.items():
        _fill(service, group[0], ports_of[group], endpoints, existing.pop(group, []), create, update, delete)
    # Slices whose ports nobody has any more are taken over rather than deleted and created.
    spare = [found for rest in existing.values() for found in rest]
    while spare and create:
        recycled, fresh = spare.pop(), create.pop()
        if recycled["addressType"] != fresh["addressType"]:
            delete.append(recycled)
            create.append(fresh)
            break
        update.append({**fresh, "metadata": {**recycled["metadata"], "labels": fresh["metadata"]["labels"]}})
    return Plan(tuple(create), tuple(update), tuple(delete + spare))


def _fill(
    service: Object,
    family: str,
    ports: list[Object],
    endpoints: list[Object],
    existing: list[Object],
    create: list[Object],
    update: list[Object],
    delete: list[Object],
) -> None:
    """Spread endpoints over the slices of one port set, each staying where it was as far as it can."""
    left = {_identity(found): found for found in endpoints}
    filled: list[tuple[Object, list[Object]]] = []
    for one in sorted(existing, key=meta.name):
        kept = [left.pop(_identity(found)) for found in one.get("endpoints") or [] if _identity(found) in left]
        filled.append((one, kept))
    rest = list(left.values())
    for _, kept in filled:
        room = _MAXIMUM - len(kept)
        kept += rest[:room]
        rest = rest[room:]
    for one, kept in filled:
        if not kept and (endpoints or len(filled) > 1):
            delete.append(one)
            continue
        fresh = _slice(service, family, ports, kept)
        if (one.get("endpoints") or []) != kept or meta.labels(one) != fresh["metadata"]["labels"]:
            update.append({**fresh, "metadata": {**one["metadata"], "labels": fresh["metadata"]["labels"]}})
    while rest or (not filled and not create and not endpoints):
        create.append(_slice(service, family, ports, rest[:_MAXIMUM]))
        rest = rest[_MAXIMUM:]
        if not endpoints:
            break


def _slice(service: Object, family: str, ports: list[Object], endpoints: list[Object]) -> Object:
    labels = {**meta.labels(service), SERVICE_NAME: meta.name(service), MANAGED_BY: MANAGER}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    owner = {**service, "apiVersion": "v1", "kind": "Service"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta.name(service)}-",
            "namespace": meta.namespace(service),
            "labels": labels,
            "ownerReferences": [meta.owner_reference(owner)],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    }


def _identity(endpoint: Mapping[str, Any]) -> tuple[str, str]:
    return str((endpoint.get("targetRef") or {}).get("uid") or ""), endpoint["addresses"][0]


def _fingerprint(ports: Iterable[Mapping[str, Any]]) -> str:
    text = json.dumps(sorted(json.dumps(port, sort_keys=True) for port in ports))
    return hashlib.sha256(text.encode()).hexdigest()


def _endpoint(service: Object, pod: Object, nodes: Mapping[str, Object], family: str) -> Object | None:
    if pods.phase(pod) in {"Succeeded", "Failed"}:
        return None
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    addresses = [found["ip"] for found in status.get("podIPs") or []] or [status.get("podIP") or ""]
    version = 6 if family == "IPv6" else 4
    address = next((a for a in addresses if a and ipaddress.ip_address(a).version == version), "")
    if not address:
        return None
    serving = pods.is_ready(pod)
    terminating = meta.is_deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    result: Object = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "name": meta.name(pod),
            "namespace": meta.namespace(pod),
            "uid": meta.uid(pod),
        },
    }
    if spec.get("nodeName"):
        result["nodeName"] = spec["nodeName"]
        zone = meta.labels(nodes.get(spec["nodeName"], {})).get("topology.kubernetes.io/zone")
        if zone:
            result["zone"] = zone
    if spec.get("hostname") and spec.get("subdomain") == meta.name(service):
        result["hostname"] = spec["hostname"]
    return result


def pod_ports(service: Object, pod: Object) -> list[Object]:
    """The service's ports as they are on this pod; one whose name the pod does not have is left out."""
    result = []
    for port in service["spec"].get("ports") or []:
        number = _target(port, pod)
        if number is None:
            continue
        entry: Object = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol") or "TCP"}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        result.append(entry)
    return result


def _target(port: Mapping[str, Any], pod: Object) -> int | None:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    spec = pod.get("spec") or {}
    sidecars = [found for found in spec.get("initContainers") or [] if found.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or []), *sidecars]:
        for found in container.get("ports") or []:
            if found.get("name") == target and (found.get("protocol") or "TCP") == (port.get("protocol") or "TCP"):
                return int(found["containerPort"])
    return None
