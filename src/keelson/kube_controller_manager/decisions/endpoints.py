"""The Endpoints of a Service, as clients from before EndpointSlices read them, and slices of Endpoints made by hand.

Rules: core/v1 Endpoints (subsets are the product of their addresses and ports), at most 1,000 addresses, the ready
ones first; KEP-752 for the mirror of Endpoints whose Service has no selector.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object

from . import pods
from .endpoint_slices import HEADLESS, MANAGED_BY, SERVICE_NAME, Plan, pod_ports

CONTROLLER_LABEL = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CHANGED_AT = "endpoints.kubernetes.io/last-change-trigger-time"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
MIRROR = "endpointslicemirroring-controller.k8s.io"
LEADER = "control-plane.alpha.kubernetes.io/leader"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MOST = 1000

Ports = tuple[str, ...]


def wanted(service: Object, selected: Sequence[Object], current: Object | None) -> Object | None:
    """The Endpoints that the service should have; None where `current` is right. `selected` match its selector."""
    kept: dict[str, str] = dict(meta.annotations(current or {}))
    kept.pop(CHANGED_AT, None)
    kept.pop(OVER_CAPACITY, None)
    entries: list[tuple[Object, bool, Sequence[Object]]] = []
    for pod in selected:
        address, ports = _address(service, pod), pod_ports(service, pod)
        # A service may be without ports; a pod that has none of those asked for is no endpoint.
        if address is not None and (ports or not service["spec"].get("ports")):
            entries.append((address, _is_ready(service, pod), ports))
    subsets, truncated = _truncated(_packed(entries))
    if truncated:
        kept[OVER_CAPACITY] = "truncated"
    labels = {**meta.labels(service), CONTROLLER_LABEL: CONTROLLER}
    labels.pop(HEADLESS, None)
    if service["spec"].get("clusterIP") in (None, "", "None"):
        labels[HEADLESS] = ""
    if (
        current is not None
        and (current.get("subsets") or []) == subsets
        and meta.labels(current) == labels
        and meta.annotations(current) == kept
    ):
        return None
    metadata: Object = dict(meta.metadata(current)) if current is not None else {"name": meta.name(service)}
    metadata |= {"namespace": meta.namespace(service), "labels": labels, "annotations": kept}
    if not kept:
        del metadata["annotations"]
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}


def _is_ready(service: Object, pod: Object) -> bool:
    return bool(service["spec"].get("publishNotReadyAddresses")) or pods.is_ready(pod)


def _address(service: Object, pod: Object) -> Object | None:
    spec, status = service["spec"], pod.get("status") or {}
    if pods.phase(pod) in {"Succeeded", "Failed"}:
        return None
    if meta.is_deleting(pod) and not spec.get("publishNotReadyAddresses"):
        return None
    family = 6 if (spec.get("ipFamilies") or ["IPv4"])[0] == "IPv6" else 4
    known = [found["ip"] for found in status.get("podIPs") or []] or [status.get("podIP") or ""]
    address = next((ip for ip in known if ip and ipaddress.ip_address(ip).version == family), None)
    if address is None:
        return None
    result: Object = {"ip": address}
    pod_spec = pod.get("spec") or {}
    if pod_spec.get("hostname") and pod_spec.get("subdomain") == meta.name(service):
        result["hostname"] = pod_spec["hostname"]
    if pod_spec.get("nodeName"):
        result["nodeName"] = pod_spec["nodeName"]
    result["targetRef"] = {
        "kind": "Pod",
        "namespace": meta.namespace(pod),
        "name": meta.name(pod),
        "uid": meta.uid(pod),
    }
    return result


def _packed(entries: Iterable[tuple[Object, bool, Sequence[Object]]]) -> list[Object]:
    """Subsets of the addresses that have the same ports, everything in a fixed order."""
    groups: dict[str, tuple[list[Object], list[tuple[Object, bool]]]] = {}
    for address, ready, ports in entries:
        plain = [{name: value for name, value in port.items() if value != "" or name != "name"} for port in ports]
        plain.sort(key=lambda port: json.dumps(port, sort_keys=True))
        groups.setdefault(json.dumps(plain, sort_keys=True), (plain, []))[1].append((address, ready))
    result = []
    for _, (ports, members) in sorted(groups.items()):
        subset: Object = {}
        for field, state in (("addresses", True), ("notReadyAddresses", False)):
            found = sorted((a for a, ready in members if ready is state), key=_order)
            if found:
                subset[field] = found
        if ports:
            subset["ports"] = ports
        result.append(subset)
    return result


def _order(address: Mapping[str, Any]) -> tuple[bytes, str]:
    target = address.get("targetRef") or {}
    return ipaddress.ip_address(address["ip"]).packed, str(target.get("uid") or "")


def _truncated(subsets: list[Object]) -> tuple[list[Object], bool]:
    if sum(len(s.get("addresses") or ()) + len(s.get("notReadyAddresses") or ()) for s in subsets) <= _MOST:
        return subsets, False
    room = _MOST
    for field in ("addresses", "notReadyAddresses"):
        for subset in subsets:
            found = (subset.get(field) or [])[:room]
            room -= len(found)
            if found:
                subset[field] = found
            else:
                subset.pop(field, None)
    return [subset for subset in subsets if subset.get("addresses") or subset.get("notReadyAddresses")], True


def is_mirrored(endpoints: Object | None, service: Object | None) -> bool:
    """Whether slices follow these Endpoints: somebody made them for a Service without a selector."""
    if endpoints is None or service is None or service["spec"].get("selector") is not None:
        return False
    labels, annotations = meta.labels(endpoints), meta.annotations(endpoints)
    return labels.get(SKIP_MIRROR) != "true" and LEADER not in annotations and CONTROLLER_LABEL not in labels


def mirror(endpoints: Object, slices: Sequence[Object]) -> Plan:
    """How the mirroring slices must change; one slice a subset and address family."""
    existing: dict[str, list[Object]] = {}
    for found in sorted(slices, key=meta.name):
        existing.setdefault(_key(found["addressType"], found.get("ports") or []), []).append(found)
    create: list[Object] = []
    update: list[Object] = []
    delete: list[Object] = []
    for family, ports, members in _mirrored(endpoints):
        fresh = _slice(endpoints, family, ports, members)
        present = existing.pop(_key(family, ports), [])
        delete += present[1:]
        if not present:
            create.append(fresh)
            continue
        head = {**present[0]["metadata"], "labels": fresh["metadata"]["labels"]}
        head["annotations"] = fresh["metadata"].get("annotations") or {}
        if not head["annotations"]:
            del head["annotations"]
        if (present[0].get("endpoints") or []) != members or head != present[0]["metadata"]:
            update.append({**fresh, "metadata": head})
    delete += [found for rest in existing.values() for found in rest]
    return Plan(tuple(create), tuple(update), tuple(delete))


def _key(family: str, ports: Sequence[Mapping[str, Any]]) -> str:
    # The server fills in what was left out: compare as it would be filled in.
    full = [{"name": "", "protocol": "TCP", **port} for port in ports]
    return json.dumps([family, sorted(full, key=lambda port: json.dumps(port, sort_keys=True))], sort_keys=True)


def _mirrored(endpoints: Object) -> list[tuple[str, list[Object], list[Object]]]:
    result: dict[str, tuple[str, list[Object], list[Object]]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [
            {"name": port.get("name") or "", "protocol": "TCP", **{k: v for k, v in port.items() if k != "name"}}
            for port in subset.get("ports") or ()
        ]
        room = _MOST
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in (subset.get(field) or ())[:room]:
                try:
                    ip = ipaddress.ip_address(address.get("ip") or "")
                except ValueError:
                    continue
                room -= 1
                family = f"IPv{ip.version}"
                endpoint: Object = {"addresses": [str(ip)], "conditions": {"ready": ready}}
                for name in ("hostname", "nodeName", "targetRef"):
                    if address.get(name):
                        endpoint[name] = address[name]
                result.setdefault(_key(family, ports), (family, ports, []))[2].append(endpoint)
    return list(result.values())


def _slice(endpoints: Object, family: str, ports: list[Object], members: list[Object]) -> Object:
    owner = {**endpoints, "apiVersion": "v1", "kind": "Endpoints"}
    annotations = {n: v for n, v in meta.annotations(endpoints).items() if n not in (CHANGED_AT, _LAST_APPLIED)}
    metadata: Object = {
        "generateName": f"{meta.name(endpoints)}-",
        "namespace": meta.namespace(endpoints),
        "labels": {**meta.labels(endpoints), SERVICE_NAME: meta.name(endpoints), MANAGED_BY: MIRROR},
        "ownerReferences": [meta.owner_reference(owner)],
    }
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "endpoints": members,
        "ports": ports,
    }
