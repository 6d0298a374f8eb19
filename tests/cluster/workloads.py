"""What the tests run on clusters, as manifests that are functions of what differs; and what it serves, fetched."""

from __future__ import annotations

import time
import urllib.request
from typing import Any

from tests.clusters import TOOLS

Manifest = dict[str, Any]

# PID 1 of a container ignores signals that it has no handler for, so a bare httpd would be waited for at each deletion.
SERVE = "mkdir -p /tmp/www; hostname >/tmp/www/index.html; trap 'kill $!' TERM; httpd -f -p 8080 -h /tmp/www & wait"


def pod(name: str, command: str, **spec: Any) -> Manifest:
    """A Pod of one container that runs a shell command once."""
    container = {"name": "main", "image": TOOLS, "command": ["sh", "-c", command], **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": [container], **spec},
    }


def anywhere(host: str) -> Manifest:
    """The part of a Pod's spec that puts it on a host, whatever that is tainted with."""
    return {
        "nodeSelector": {"kubernetes.io/hostname": host},
        "tolerations": [{"operator": "Exists"}],
    }


def service(name: str, *, kind: str = "ClusterIP") -> Manifest:
    """A Service on port 80 of the Pods that `SERVE` with the label app=<name>."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": kind, "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def config(kind: str, name: str, **data: str) -> Manifest:
    """A ConfigMap or a Secret."""
    key = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, key: data}


def fetch(url: str, *, patience_seconds: float = 20.0) -> str:
    """Return what a URL answers.

    A refused connection is tried again while there is patience, as rules reach the hosts one after another.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError as error:
            if time.monotonic() >= deadline:
                raise AssertionError(f"{url}: {error}") from error
