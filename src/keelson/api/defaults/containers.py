"""Defaults of containers: init, ordinary and ephemeral ones alike (core/v1)."""

from __future__ import annotations

import re
from functools import lru_cache

from keelson.api.meta import Object

_TAG = re.compile(r":([\w][\w.-]*)(?:@.*)?$", re.ASCII)


@lru_cache(maxsize=1024)
def pull_policy(image: str) -> str:
    """Always for the tag "latest", said or implied; a digest pins, so that nothing need be pulled again."""
    last = image.rpartition("/")[2]
    if "@" in last:
        return "IfNotPresent"
    found = _TAG.search(last)
    return "Always" if found is None or found[1] == "latest" else "IfNotPresent"


def _http_get(action: Object | None) -> None:
    if action is not None:
        if not action.get("path"):
            action["path"] = "/"
        if not action.get("scheme"):
            action["scheme"] = "HTTP"


def _probe(probe: Object) -> None:
    if not probe.get("timeoutSeconds"):
        probe["timeoutSeconds"] = 1
    if not probe.get("periodSeconds"):
        probe["periodSeconds"] = 10
    if not probe.get("successThreshold"):
        probe["successThreshold"] = 1
    if not probe.get("failureThreshold"):
        probe["failureThreshold"] = 3
    if "httpGet" in probe:
        _http_get(probe["httpGet"])
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def container(container: Object) -> None:
    """Defaults of one container."""
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    if "resources" not in container:
        container["resources"] = {}
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source:
            field = source.get("fieldRef")
            if field is not None and not field.get("apiVersion"):
                field["apiVersion"] = "v1"
            if "resourceFieldRef" in source:
                source["resourceFieldRef"].setdefault("divisor", "0")
            if "fileKeyRef" in source:
                source["fileKeyRef"].setdefault("optional", False)
    for field_name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if field_name in container:
            _probe(container[field_name])
    if "lifecycle" in container:
        for hook in ("postStart", "preStop"):
            _http_get((container["lifecycle"].get(hook) or {}).get("httpGet"))
