"""Defaults of Pods and of the pod templates inside workloads (core/v1)."""

from __future__ import annotations

from typing import Any

from keelson.api import quantities
from keelson.api.defaults import containers, volumes
from keelson.api.meta import Object


def template(parent: Object) -> None:
    """Defaults of `parent["template"]`, a PodTemplateSpec; an absent one stays absent for the validator to name."""
    found = parent.get("template")
    if isinstance(found, dict):
        pod_spec(found.setdefault("spec", {}))


def pod_spec(spec: Object) -> None:
    """Defaults of a PodSpec wherever it stands."""
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    if "terminationGracePeriodSeconds" not in spec:
        spec["terminationGracePeriodSeconds"] = 30
    if "securityContext" not in spec:
        spec["securityContext"] = {}
    # The deprecated name of the field is kept equal: old clients read it.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            containers.container(container)
    for volume in spec.get("volumes") or ():
        volumes.volume(volume)


def pod(obj: Object) -> None:
    """Defaults of a Pod: its spec's, and what only a Pod itself gets."""
    spec = obj.setdefault("spec", {})
    if "enableServiceLinks" not in spec:
        spec["enableServiceLinks"] = True
    pod_spec(spec)
    host_network = spec.get("hostNetwork")
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            resources = container["resources"]
            if "limits" in resources:
                _requests_from_limits(resources)
            if host_network:
                for port in container.get("ports") or ():
                    if not port.get("hostPort"):
                        port["hostPort"] = port.get("containerPort", 0)
    if "resources" in spec:
        _pod_requests(spec)


def _requests_from_limits(resources: dict[str, Any]) -> None:
    requests = resources.setdefault("requests", {})
    for resource, limit in resources["limits"].items():
        requests.setdefault(resource, limit)


def _pod_requests(spec: Object) -> None:
    """Pod-level requests (KEP-2837): the sum of what containers request, else the pod's own limit."""
    resources = spec["resources"]
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.setdefault("requests", {})
    for resource, limit in limits.items():
        if resource in requests:
            continue
        asked = [c["resources"].get("requests", {}).get(resource) for c in spec.get("containers") or ()]
        given = [quantities.parse(amount) for amount in asked if amount is not None]
        requests[resource] = quantities.format(sum(given), quantities.notation(limit)) if given else limit


def pod_template(obj: Object) -> None:
    """Defaults of core/v1 PodTemplate."""
    template(obj)


KINDS = {("v1", "Pod"): pod, ("v1", "PodTemplate"): pod_template}
