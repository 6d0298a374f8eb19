"""How what connects workloads is printed: services, endpoints, ingresses, policies, addresses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.tables.cells import NONE, Printer, age, columns, joined, label_selector, labels


def _load_balancer(status: Object) -> str:
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    return ",".join(found.get("ip") or found.get("hostname") or "" for found in ingress)


def _external(spec: Object, status: Object) -> str:
    addresses = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName") or NONE)
        case "LoadBalancer":
            given = _load_balancer(status)
            return ",".join([*filter(None, [given]), *addresses]) or "<pending>"
    return ",".join(addresses) or NONE


def _service(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ports = []
    for port in spec.get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node}/{port.get('protocol')}")
    addresses = spec.get("clusterIPs") or []
    return [
        meta.name(obj),
        spec.get("type", ""),
        (addresses[0] if addresses else spec.get("clusterIP")) or NONE,
        _external(spec, status),
        joined(ports),
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _endpoints(obj: Object, now: datetime) -> list[Any]:
    found = []
    for subset in obj.get("subsets") or ():
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        for port in subset.get("ports") or ():
            found += [f"[{ip}]:{port.get('port')}" if ":" in ip else f"{ip}:{port.get('port')}" for ip in addresses]
        if not subset.get("ports"):
            found += addresses
    return [meta.name(obj), joined(found, 3), age(obj, now)]


def _slice(obj: Object, now: datetime) -> list[Any]:
    ports = obj.get("ports")
    shown = "<unset>"
    if ports:
        shown = joined([port.get("port") or "*" for port in ports], 3)
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    found = joined(addresses, 3) if addresses else "<unset>"
    return [meta.name(obj), obj.get("addressType", ""), shown, found, age(obj, now)]


def _ingress(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        meta.name(obj),
        spec.get("ingressClassName") or NONE,
        joined(hosts, 3) if hosts else "*",
        _load_balancer(status),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def _ingress_class(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    parameters = spec.get("parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters.get('kind')}{group}/{parameters.get('name')}"
    return [meta.name(obj), spec.get("controller", ""), shown, age(obj, now)]


def _policy(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), label_selector((obj.get("spec") or {}).get("podSelector")), age(obj, now)]


def _address(obj: Object, now: datetime) -> list[Any]:
    parent = (obj.get("spec") or {}).get("parentRef") or {}
    group = f"{parent['group']}/" if parent.get("group") else ""
    namespace = f"{parent['namespace']}/" if parent.get("namespace") else ""
    shown = f"{group}{parent.get('resource', '')}/{namespace}{parent.get('name', '')}" if parent else NONE
    return [meta.name(obj), shown, age(obj, now)]


def _range(obj: Object, now: datetime) -> list[Any]:
    return [meta.name(obj), joined((obj.get("spec") or {}).get("cidrs") or ()), age(obj, now)]


_V1 = "networking.k8s.io/v1"
PRINTERS = {
    ("v1", "Service"): Printer(
        columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector*"), _service
    ),
    ("v1", "Endpoints"): Printer(columns("Name", "Endpoints", "Age"), _endpoints),
    ("discovery.k8s.io/v1", "EndpointSlice"): Printer(
        columns("Name", "AddressType", "Ports", "Endpoints", "Age"), _slice
    ),
    (_V1, "Ingress"): Printer(columns("Name", "Class", "Hosts", "Address", "Ports", "Age"), _ingress),
    (_V1, "IngressClass"): Printer(columns("Name", "Controller", "Parameters", "Age"), _ingress_class),
    (_V1, "NetworkPolicy"): Printer(columns("Name", "Pod-Selector", "Age"), _policy),
    (_V1, "IPAddress"): Printer(columns("Name", "ParentRef", "Age"), _address),
    (_V1, "ServiceCIDR"): Printer(columns("Name", "CIDRs", "Age"), _range),
}
