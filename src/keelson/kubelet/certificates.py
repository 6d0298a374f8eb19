"""The kubelet's certificates, asked of the cluster by CertificateSigningRequests, and renewed before they end.

Rules: "TLS bootstrapping" (files and signers), "Certificate Rotation", Certificate Signing Requests (subjects and
usages that the two kubelet signers accept). File names are upstream's, so that either kubelet finds what the other got.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client import kubeconfigs, watches
from keelson.client.backoffs import Backoff
from keelson.client.rest import Client
from keelson.component_base import certificates

log = logging.getLogger(__name__)

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
# How long one request is waited for before another takes its place.
_PATIENCE = 900.0
_CSRS = "certificatesigningrequests.certificates.k8s.io"


class CertificateError(Exception):
    """A request was denied or failed; the message is the approver's or signer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a certificate is to say. `prefix` names its files."""

    signer: str
    usages: tuple[str, ...]
    node: str
    prefix: str
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()


def client_certificate(node: str) -> Wanted:
    """The certificate by which the node speaks to the API."""
    return Wanted(signer=CLIENT_SIGNER, usages=("digital signature", "client auth"), node=node, prefix="kubelet-client")


def serving_certificate(node: str, dns: Sequence[str], ips: Sequence[str]) -> Wanted:
    """The certificate that the node's own server shows."""
    return Wanted(
        signer=SERVING_SIGNER,
        usages=("digital signature", "server auth"),
        node=node,
        prefix="kubelet-server",
        dns=tuple(dns),
        ips=tuple(ips),
    )


def request_pem(wanted: Wanted, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The PKCS #10 request."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{wanted.node}"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in wanted.dns]
    names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in wanted.ips]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def obtain(client: Client, wanted: Wanted) -> bytes:
    """A fresh key and its certificate, as one PEM. Raises StatusError, CertificateError, TimeoutError."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = request_pem(wanted, key)
    digest = hashlib.sha256(pem).hexdigest()[:32]
    request: Object = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": f"node-csr-{digest}" if wanted.signer == CLIENT_SIGNER else f"csr-{digest}"},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": wanted.signer,
            "usages": list(wanted.usages),
        },
    }
    created = await client.create(_CSRS, request)
    log.info("requested a certificate of %s: %s", wanted.signer, meta.name(created))
    async with asyncio.timeout(_PATIENCE):
        certificate = await _issued(client, created)
    return certificate + certificates.key_pem(key)


async def _issued(client: Client, request: Object) -> bytes:
    name = meta.name(request)
    while True:
        if (found := _certificate(request)) is not None:
            return found
        try:
            events = watches.watch(
                client,
                _CSRS,
                resource_version=meta.resource_version(request),
                field_selector=f"metadata.name={name}",
                timeout_seconds=60,
            )
            async for event in events:
                if event.type in {"ADDED", "MODIFIED"} and (found := _certificate(event.object)) is not None:
                    return found
        except errors.StatusError as error:
            if error.code not in {410, 503, 504}:
                raise
        request = await client.get(_CSRS, name)


def _certificate(request: Object) -> bytes | None:
    for condition in meta.conditions(request):
        if condition["type"] in {"Denied", "Failed"}:
            raise CertificateError(
                f"certificate request {meta.name(request)} was {condition['type'].lower()}: "
                f"{condition.get('message') or condition.get('reason') or 'no reason given'}"
            )
    text = (request.get("status") or {}).get("certificate")
    return base64.b64decode(text) if text else None


class CertificateStore:
    """The files of one certificate: dated ones, and a link to the current one, which holds certificate and key."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix

    @property
    def current(self) -> Path:
        """The link's path."""
        return self._folder / f"{self._prefix}-current.pem"

    def load(self) -> x509.Certificate | None:
        """The current certificate, None where there is none that can be read."""
        try:
            return x509.load_pem_x509_certificate(self.current.read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def save(self, pem: bytes, now: datetime) -> None:
        """Make this pair the current one, in one step."""
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        path = self._folder / f"{self._prefix}-{now.strftime('%Y-%m-%d-%H-%M-%S')}.pem"
        fresh = path.with_suffix(".tmp")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_bytes(pem)
        fresh.rename(path)
        link = self.current.with_suffix(".new")
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
        link.rename(self.current)


def renewal(certificate: x509.Certificate, spread: Callable[[], float] = random.random) -> datetime:
    """When to renew: after 70 to 90 % of the certificate's life, so that nodes made together do not ask together."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * (0.7 + 0.2 * spread())


def is_usable(certificate: x509.Certificate | None, now: datetime) -> bool:
    """Whether a certificate can be shown to anybody now."""
    return certificate is not None and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


async def keep(
    client: Client,
    store: CertificateStore,
    wanted: Callable[[], Wanted],
    changed: Callable[[], object],
    now: Callable[[], datetime],
) -> None:
    """Obtain the certificate where it lacks or says the wrong names, and renew it in time, until cancelled.

    `changed()` is called after each new one; what it returns is awaited where it can be.
    """
    backoff = Backoff(initial=1.0, maximum=120.0)
    while True:
        certificate = store.load()
        target = wanted()
        if is_usable(certificate, now()) and certificate is not None and _says(certificate, target):
            wait = (renewal(certificate) - now()).total_seconds()
            if wait > 0:
                await asyncio.sleep(min(wait, 3600.0))
                continue
        try:
            store.save(await obtain(client, target), now())
        except (errors.StatusError, CertificateError, TimeoutError) as error:
            wait = backoff.next()
            log.warning("no certificate of %s: %s; again in %.0f s", target.signer, error, wait)
            await asyncio.sleep(wait)
            continue
        backoff.reset()
        log.info("got a certificate of %s", target.signer)
        outcome = changed()
        if asyncio.iscoroutine(outcome):
            await outcome


def _says(certificate: x509.Certificate, wanted: Wanted) -> bool:
    if not wanted.dns and not wanted.ips:
        return True
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    dns = set(names.get_values_for_type(x509.DNSName))
    ips = {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
    return set(wanted.dns) <= dns and set(wanted.ips) <= ips


async def bootstrap(
    bootstrap_path: str, kubeconfig_path: str, folder: Path, node: str, now: Callable[[], datetime]
) -> None:
    """Make sure that `kubeconfig_path` works: where it does not exist or its certificate has ended, ask for one.

    Raises KubeconfigError where there is neither a usable kubeconfig nor a bootstrap one.
    """
    wanted = client_certificate(node)
    store = CertificateStore(folder, wanted.prefix)
    target = Path(kubeconfig_path)
    if not _needs_certificate(target, store, bootstrap_path, now()):
        return
    if not is_usable(store.load(), now()):
        config = kubeconfigs.load(bootstrap_path)
        backoff = Backoff(initial=1.0, maximum=30.0)
        async with Client(config, user_agent="kubelet/keelson (bootstrap)") as client:
            while True:
                try:
                    store.save(await obtain(client, wanted), now())
                    break
                except (errors.StatusError, CertificateError, TimeoutError) as error:
                    wait = backoff.next()
                    log.warning("bootstrapping: %s; again in %.0f s", error, wait)
                    await asyncio.sleep(wait)
    _write_kubeconfig(Path(bootstrap_path), target, store.current)


def _needs_certificate(target: Path, store: CertificateStore, bootstrap_path: str, now: datetime) -> bool:
    """Whether the kubeconfig has to be made, or made good again, with the bootstrap credentials."""
    if target.exists():
        if not bootstrap_path or not _relies_on(target, store.current):
            return False
        return not is_usable(store.load(), now)
    if not bootstrap_path:
        raise kubeconfigs.KubeconfigError(f"{target}: no such file, and no --bootstrap-kubeconfig is given")
    return True


def _relies_on(kubeconfig: Path, certificate: Path) -> bool:
    document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8")) or {}
    return any(
        (user.get("user") or {}).get("client-certificate") == str(certificate) for user in document.get("users") or []
    )


def _write_kubeconfig(source: Path, target: Path, certificate: Path) -> None:
    """The bootstrap kubeconfig's cluster with the certificate in place of its token."""
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    context = next(c["context"] for c in document["contexts"] if c["name"] == document["current-context"])
    cluster = next(c["cluster"] for c in document["clusters"] if c["name"] == context["cluster"])
    if relative := cluster.get("certificate-authority"):
        cluster["certificate-authority"] = str(source.parent / relative)
    written = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default-cluster", "cluster": cluster}],
        "contexts": [{"name": "default-context", "context": {"cluster": "default-cluster", "user": "default-auth"}}],
        "current-context": "default-context",
        "users": [
            {
                "name": "default-auth",
                "user": {"client-certificate": str(certificate), "client-key": str(certificate)},
            }
        ],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".tmp")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(yaml.safe_dump(written), encoding="utf-8")
    fresh.rename(target)
