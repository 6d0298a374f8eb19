"""How the API server reaches kubelets: their address out of the Node, its own certificate, theirs verified."""

from __future__ import annotations

import argparse
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

from keelson.api import errors
from keelson.api.meta import Object
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.messages import Request

from . import addresses, headers
from .backends import Answer, Backend, BackendError, Target


class Credentials:
    """The TLS context for kubelets, made anew when one of its files changes: certificates are rotated in place.

    Without a certificate authority kubelets' certificates are not verified, as upstream has it.
    """

    def __init__(self, authority: str, certificate: str, key: str) -> None:
        self._authority = authority
        self._certificate = certificate
        self._key = key
        self._files = [Path(path) for path in (authority, certificate, key) if path]
        self._seen: list[tuple[int, int]] = []
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """The context of now."""
        seen = [(stat.st_mtime_ns, stat.st_ino) for stat in (path.stat() for path in self._files)]
        if self._context is None or seen != self._seen:
            if self._authority:
                context = ssl.create_default_context(cafile=self._authority)
                # Go verifies chains without RFC 5280's optional marks, and CAs made for it lack them.
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            else:
                context = unverified()
            if self._certificate:
                context.load_cert_chain(self._certificate, self._key)
            self._context, self._seen = context, seen
        return self._context


def unverified() -> ssl.SSLContext:
    """TLS to whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Kubelets:
    """Connections to the kubelets of nodes."""

    def __init__(self, options: argparse.Namespace, catalogue: Catalogue, objects: Objects) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._preferred: Sequence[str] = options.kubelet_preferred_address_types
        self.seconds = float(options.kubelet_timeout)
        authority = options.kubelet_certificate_authority
        self._credentials = Credentials(authority, options.kubelet_client_certificate, options.kubelet_client_key)
        # For requests that ask not to verify (insecureSkipTLSVerifyBackend).
        self._insecure = Credentials("", options.kubelet_client_certificate, options.kubelet_client_key)

    async def node(self, name: str) -> Object:
        """The Node. Raises StatusError 404."""
        served = self._catalogue.named("nodes")
        return self._objects.object(served, await self._objects.get(served, "", name))

    def target(self, node: Object, *, insecure: bool = False) -> Target:
        """Where the node's kubelet is. Raises StatusError 500 where the node states no usable address."""
        return Target(
            addresses.node_address(node, self._preferred),
            addresses.kubelet_port(node),
            (self._insecure if insecure else self._credentials).context(),
            addresses.is_node_address,
        )

    async def connect(self, node_name: str, *, insecure: bool = False) -> tuple[Backend, Target]:
        """A connection to the node's kubelet. Raises StatusError 404 and 500."""
        target = self.target(await self.node(node_name), insecure=insecure)
        try:
            return await Backend.connect(target, self.seconds), target
        except BackendError as error:
            raise errors.StatusError(500, "InternalError", f"error dialing backend: {error}") from error


async def pod_of(context: Context, catalogue: Catalogue, objects: Objects) -> Object:
    """The pod that the request names. Raises StatusError 404."""
    served = catalogue.named("pods")
    return objects.object(served, await objects.get(served, context.info.namespace, context.info.name))


def container_of(pod: Object, name: str) -> str:
    """The container that a request is for: the named one, the annotated default or the only one.

    Raises StatusError 400 with upstream's sentences.
    """
    spec = pod.get("spec") or {}
    metadata = pod["metadata"]

    def listed(kind: str) -> list[str]:
        return [str(each["name"]) for each in spec.get(kind) or []]

    plain, initial, ephemeral = (listed(kind) for kind in ("containers", "initContainers", "ephemeralContainers"))
    if not name:
        default = (metadata.get("annotations") or {}).get("kubectl.kubernetes.io/default-container") or ""
        if default in plain:
            return str(default)
        if len(plain) == 1:
            return plain[0]
        message = f"a container name must be specified for pod {metadata['name']}, choose one of: [{' '.join(plain)}]"
        if initial:
            message += f" or one of the init containers: [{' '.join(initial)}]"
        if ephemeral:
            message += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
        raise errors.bad_request(message)
    if name not in plain + initial + ephemeral:
        raise errors.bad_request(f"container {name} is not valid for pod {metadata['name']}")
    return name


def flag(request: Request, name: str) -> bool:
    """A boolean parameter: given without a value it is true, as the API's conversion of queries has it."""
    values = request.query.get(name)
    return bool(values) and values[0].lower() not in ("false", "0")  # type: ignore[index]


def upgrade_headers(request: Request, host: str, replaced: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """The headers of an upgrade to a kubelet; `replaced` are headers (lower case) to say instead, "" to leave out."""
    given = {**request.headers, **(replaced or {})}
    return headers.of_request({name: value for name, value in given.items() if value}, host)


async def refusal(answer: Answer, backend: Backend, *, resource: str, name: str) -> errors.StatusError:
    """The error that another server's answer is, where it is none of success."""
    try:
        text = (await backend.text()).strip()
    except BackendError as error:
        text = str(error)
    if answer.status >= 500:
        return errors.internal(text)
    if answer.status == 400:
        return errors.bad_request(text)
    if answer.status == 404:
        details = {"name": name, "kind": resource, "causes": [{"reason": "UnexpectedServerResponse", "message": text}]}
        message = f"the server could not find the requested resource ({resource} {name}): {text}"
        return errors.StatusError(404, "NotFound", message, details)
    if answer.status in (401, 403):
        # What the kubelet refuses is the API server's own access, never the user's: he must not log in anew.
        return errors.internal(f"the kubelet refused the API server's request ({answer.status}): {text}")
    return errors.internal(f"unexpected answer {answer.status} of the kubelet: {text}")
