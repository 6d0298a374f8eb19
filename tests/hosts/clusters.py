"""The cluster behind the hosts, seen through the official Python client."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

TOOLS = "keelson.local/tools:0.1.0"
PATIENCE_SECONDS = 90


class Cluster:
    """Nodes, leases, and Pods of a namespace that lives as long as the checks."""

    def __init__(self, api: client.ApiClient) -> None:
        # Any: the client's own types know no manifests, which it takes as well.
        self.core: Any = client.CoreV1Api(api)
        self.leases = client.CoordinationV1Api(api)
        self._namespace = ""

    @property
    def namespace(self) -> str:
        """The checks' own namespace, made when first asked for."""
        if not self._namespace:
            name = f"verification-{uuid.uuid4().hex[:8]}"
            self.core.create_namespace({"metadata": {"name": name}})
            self._namespace = name
        return self._namespace

    def node(self, name: str) -> Any:
        """A Node."""
        return self.core.read_node(name)

    def keep_secret(self, name: str, value: str) -> None:
        """Make a Secret."""
        self.core.create_namespaced_secret(self.namespace, {"metadata": {"name": name}, "stringData": {"value": value}})

    def serve(self, name: str, body: str) -> None:
        """A Pod that answers HTTP on port 8080 with `body`, and a Service of the same name on port 80; once."""
        command = f"mkdir /tmp/www && echo {body} > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
        pod = self._pod(name, command, {"labels": {"app": name}})
        service = {
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        for create, manifest in (
            (self.core.create_namespaced_pod, pod),
            (self.core.create_namespaced_service, service),
        ):
            try:
                create(self.namespace, manifest)
            except ApiException as error:
                if error.status != 409:
                    raise
        self._await(
            name, lambda found: any(c.type == "Ready" and c.status == "True" for c in found.status.conditions or [])
        )

    def run(self, name: str, node: str, command: str) -> str:
        """Run a shell command in a Pod on a node, whatever its taints; gives the Pod's last phase."""
        pod = self._pod(name, command, {})
        pod["spec"] |= {"nodeName": node, "tolerations": [{"operator": "Exists"}]}
        self.core.create_namespaced_pod(self.namespace, pod)
        found = self._await(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
        return str(found.status.phase)

    def close(self) -> None:
        """Remove the checks' namespace."""
        if self._namespace:
            self.core.delete_namespace(self._namespace)

    def _pod(self, name: str, command: str, metadata: dict[str, Any]) -> dict[str, Any]:
        container = {
            "name": "main",
            "image": TOOLS,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", command],
        }
        spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
        return {"metadata": {"name": name, **metadata}, "spec": spec}

    def _await(self, name: str, done: Callable[[Any], bool]) -> Any:
        """Look at a Pod until `done` says so. Raises TimeoutError that tells its last status."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done(found := self.core.read_namespaced_pod(name, self.namespace)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Pod {name}: {found.status.phase}, {found.status.container_statuses}")
            time.sleep(0.25)
        return found


@contextlib.contextmanager
def connect(kubeconfig: str) -> Iterator[Cluster]:
    """The cluster of a kubeconfig; what the checks made in it is removed at the end."""
    connect_by: Any = config.new_client_from_config
    with connect_by(kubeconfig) as api:
        cluster = Cluster(api)
        try:
            yield cluster
        finally:
            cluster.close()
