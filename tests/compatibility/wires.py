"""Requests to an API server as they go over the wire, without any client in between that would smooth them."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from keelson.api import resources
from keelson.api.resources import Resource
from tests.contracts.kube_apiserver.api_servers import Cluster

# What a server writes for itself when it starts on an etcd that another server has filled.
OWN = (
    "v1/endpoints/default/kubernetes",
    "discovery.k8s.io/v1/endpointslices/default/kubernetes",
    "coordination.k8s.io/v1/leases/kube-system/apiserver-",
    "apiregistration.k8s.io/v1/apiservices//",
    "v1/configmaps/kube-system/extension-apiserver-authentication",
    "v1/configmaps/kube-system/kube-apiserver-legacy-service-account-token-tracking",
    "v1/events/",
    "events.k8s.io/v1/events/",
)


# Headers that tell of one answer and not of what is answered.
_OWN = frozenset({"Date", "Content-Length", "Audit-Id", "Transfer-Encoding"})


class Answer(NamedTuple):
    """What is compared of an answer."""

    status: int
    headers: dict[str, str]
    body: Any


def ask(
    cluster: Cluster,
    context: ssl.SSLContext,
    method: str,
    path: str,
    lines: Iterable[tuple[str, str]] = (),
    body: Any = None,
    *,
    read: Callable[[bytes], Any],
) -> Answer:
    """One request with these header lines and no others, its body as JSON; `read` makes a value of the answer's."""
    connection = http.client.HTTPSConnection(cluster.address, cluster.port, context=context, timeout=10)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        data = b"" if body is None else json.dumps(body).encode()
        for name, value in lines:
            connection.putheader(name, value.encode())
        if body is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        answer = connection.getresponse()
        shown = {
            name: value
            for name, value in answer.getheaders()
            if name not in _OWN and not name.startswith("X-Kubernetes-Pf")
        }
        return Answer(answer.status, shown, read(answer.read()))
    finally:
        connection.close()


class Wire:
    """An administrator's requests to a cluster, whichever server it runs just now."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
        certificate, key = cluster.authority.issue("wire", ["system:masters"])
        self._context.load_cert_chain(cluster.write("wire.crt", certificate), cluster.write("wire.key", key))

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """(status, body) of one request: a JSON value, or text where it is none, as for a path that nobody serves."""
        connection = http.client.HTTPSConnection(
            self._cluster.address, self._cluster.port, context=self._context, timeout=30
        )
        try:
            data = None if body is None else json.dumps(body)
            connection.request(
                method, path, body=data, headers={"Content-Type": content_type, "Accept": "application/json"}
            )
            answer = connection.getresponse()
            said = answer.read()
            if answer.headers.get_content_type() != "application/json":
                return answer.status, said.decode()
            return answer.status, json.loads(said)
        finally:
            connection.close()

    def done(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The body of a request that succeeds."""
        status, value = self.request(method, path, body, content_type)
        assert status < 300, f"{method} {path}: {value}"
        return value

    def refused(self, path: str) -> tuple[int, Any]:
        """(status, body) of a GET that may be refused; of one that is not, which may be a watch, no body is read."""
        connection = http.client.HTTPSConnection(
            self._cluster.address, self._cluster.port, context=self._context, timeout=30
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()) if answer.status >= 400 else None
        finally:
            connection.close()

    def watch(self, path: str, count: int) -> list[Any]:
        """The first events of a watch; `path` has a query already."""
        connection = http.client.HTTPSConnection(
            self._cluster.address, self._cluster.port, context=self._context, timeout=30
        )
        try:
            connection.request("GET", f"{path}&watch=1&timeoutSeconds=20")
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return [json.loads(answer.readline()) for _ in range(count)]
        finally:
            connection.close()


def collection_path(resource: Resource) -> str:
    """Where all objects of a resource are listed."""
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    return f"{root}/{resource.plural}"


def stored() -> list[Resource]:
    """The built-in resources whose objects are stored, each in every version that is served."""
    return [each for each in resources.BUILT_IN if "list" in each.verbs and each.plural != "componentstatuses"]


def snapshot(wire: Wire, custom: str = "") -> dict[str, Any]:
    """Every object that the server has: "apiVersion/plural/namespace/name" to the object."""
    found: dict[str, Any] = {}
    paths = {f"{each.api_version}/{each.plural}": collection_path(each) for each in stored()}
    if custom:
        paths[custom] = f"/apis/{custom}"
    for title, path in paths.items():
        for item in wire.done("GET", path)["items"]:
            metadata = item["metadata"]
            found[f"{title}/{metadata.get('namespace', '')}/{metadata['name']}"] = item
    return found


def meant(value: Any) -> Any:
    """A value without what Go's structs show as empty and other writers leave out."""
    if isinstance(value, dict):
        found = {key: meant(child) for key, child in value.items()}
        return {key: child for key, child in found.items() if child not in (None, {}, [], "", 0, False)}
    return [meant(child) for child in value] if isinstance(value, list) else value
