"""The cluster's API for the toolkit, by the official Python client; never by a kubectl of the operator's.

Objects are plain maps, and their paths are made here from a table of the few kinds that the toolkit itself applies.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import yaml

from components.provider.kinds import ResourceError
from components.provider.private_directories import private_directory

FIELD_MANAGER: Final = "keelson-toolkit"
_PAUSE_SECONDS: Final = 0.5
_PLURALS: Final = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "Namespace": "namespaces",
    "Node": "nodes",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}


class ApiUnreachableError(ResourceError):
    """The API server does not answer, or answers that it cannot serve yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status, and its body decoded where it is JSON."""

    status: int
    body: Any


def reference(manifest: Mapping[str, Any]) -> str:
    """An object's name for people and for maps: `kind/namespace/name`, or `kind/name`."""
    metadata = manifest["metadata"]
    namespace = metadata.get("namespace")
    return "/".join(part for part in (manifest["kind"], namespace, metadata["name"]) if part)


def path_of(manifest: Mapping[str, Any]) -> str:
    """The object's path in the API (Kubernetes API concepts, "Resource URIs")."""
    version = manifest["apiVersion"]
    metadata = manifest["metadata"]
    prefix = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{prefix}{namespace}/{_PLURALS[manifest['kind']]}/{metadata['name']}"


class ClusterClient:
    """A connection to one cluster's API, as the user of a kubeconfig."""

    def __init__(self, api: Any) -> None:
        self._api = api

    @property
    def server(self) -> str:
        """The API's URL."""
        return str(self._api.configuration.host)

    def request(self, method: str, path: str, *, body: str | None = None, content_type: str | None = None) -> Answer:
        """Send one request. Raises `ApiUnreachableError` if nobody answers; a status of any kind is an answer."""
        import urllib3
        from kubernetes.client import exceptions

        headers = {"Accept": "application/json"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        try:
            response = self._api.call_api(method, self.server + path, headers, body, _request_timeout=(5, 30))
            data = response.read() or b""
            status = response.status
        except exceptions.ApiException as error:
            status, data = error.status, (error.body or "").encode() if isinstance(error.body, str) else error.body
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiUnreachableError(f"{self.server}: the API does not answer: {error}") from error
        try:
            return Answer(status, json.loads(data))
        except (ValueError, TypeError):
            return Answer(status, data)

    def get(self, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
        """The object as it is now; None if there is none."""
        answer = self.request("GET", path_of(manifest))
        if answer.status == 404:
            return None
        body: dict[str, Any] = self._demand(answer, f"get {reference(manifest)}")
        return body

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Make the object what the manifest says, by server-side apply (KEP-555), taking over fields of others."""
        path = f"{path_of(manifest)}?fieldManager={FIELD_MANAGER}&force=true"
        answer = self.request("PATCH", path, body=json.dumps(manifest), content_type="application/apply-patch+yaml")
        self._demand(answer, f"apply {reference(manifest)}")

    def delete(self, manifest: Mapping[str, Any]) -> None:
        """Remove the object; no error if it is gone."""
        answer = self.request("DELETE", path_of(manifest))
        if answer.status != 404:
            self._demand(answer, f"delete {reference(manifest)}")

    def await_ready(self, timeout_seconds: float, give_up: Callable[[], bool]) -> None:
        """Wait until /readyz says yes. Raises `ApiUnreachableError` when the time is up, or `give_up` says so."""

        def ready() -> str | None:
            try:
                answer = self.request("GET", "/readyz")
            except ApiUnreachableError as error:
                return str(error)
            return None if answer.status == 200 else f"{self.server}/readyz answers {answer.status}"

        wait(ready, timeout_seconds, give_up)

    def _demand(self, answer: Answer, what: str) -> Any:
        if 200 <= answer.status < 300:
            return answer.body
        message = answer.body.get("message") if isinstance(answer.body, dict) else None
        error = ApiUnreachableError if answer.status in (429, 503, 504) else ResourceError
        raise error(f"{self.server}: {what}: {message or f'HTTP {answer.status}'}")


def wait(condition: Callable[[], str | None], timeout_seconds: float, give_up: Callable[[], bool]) -> None:
    """Ask `condition` until it gives None instead of what is amiss, which else becomes the error's text."""
    deadline = time.monotonic() + timeout_seconds
    while (amiss := condition()) is not None:
        if give_up():
            raise ApiUnreachableError(f"gave up, since another resource failed: {amiss}")
        if time.monotonic() > deadline:
            raise ApiUnreachableError(f"not after {timeout_seconds:g} s: {amiss}")
        time.sleep(_PAUSE_SECONDS)


@contextmanager
def connect(kubeconfig: str) -> Iterator[ClusterClient]:
    """A client for the kubeconfig's text; its credentials touch only memory."""
    # Costs most of a second, which only a run that speaks to a cluster should pay.
    import urllib3.util
    from kubernetes import client

    with private_directory() as private:
        configuration = client.Configuration()
        # Retries are ours to decide, with a deadline; the environment's proxies are not meant for a lab.
        configuration.retries = urllib3.util.Retry(0)
        configuration.proxy = None
        # Not by the client's own loader: it keeps the files of one kubeconfig for the whole process, so that two
        # connections share files that vanish with the first of them.
        document = yaml.safe_load(kubeconfig)
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        configuration.host = cluster["server"]
        for attribute, content in (
            ("ssl_ca_cert", cluster["certificate-authority-data"]),
            ("cert_file", user["client-certificate-data"]),
            ("key_file", user["client-key-data"]),
        ):
            place = private / attribute
            place.write_bytes(base64.b64decode(content))
            setattr(configuration, attribute, str(place))
        with client.ApiClient(configuration) as api:
            yield ClusterClient(api)
