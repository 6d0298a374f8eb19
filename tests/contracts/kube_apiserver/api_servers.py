"""A real API server on a real etcd, on loopback, for the suites that need one.

`Cluster(folder)` makes throw-away CAs, keys and certificates below a folder, starts both processes, and hands out
kubeconfigs for any user and groups. Ends with its context.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import aiohttp
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keelson.storage import etcd
from tests.contracts.storage.etcd_members import Member, free_port

ROOT = Path(__file__).resolve().parents[3]
OURS = (sys.executable, "-m", "keelson.kube_apiserver")


def _subject(name: str, groups: Sequence[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key in PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """A throw-away CA."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name)
        now = datetime.datetime.now(datetime.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key(self) -> bytes:
        """Its key, for a signer."""
        return key_pem(self._key)

    def issue(
        self,
        name: str,
        groups: Sequence[str] = (),
        *,
        names: Sequence[str] = (),
        addresses: Sequence[str] = (),
        life: datetime.timedelta = datetime.timedelta(hours=12),
    ) -> tuple[bytes, bytes]:
        """(certificate, key) for a client, or for a server where names or addresses are given."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if names or addresses else ExtendedKeyUsageOID.CLIENT_AUTH
        alternatives: list[x509.GeneralName] = [x509.DNSName(each) for each in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(name, groups))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=24))
            .not_valid_after(now + life)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), key_pem(key)


class Keys:
    """What the API servers of one cluster share: authorities, and the key that signs service-account tokens."""

    def __init__(self) -> None:
        self.authority = Authority("kubernetes")
        self.front_proxy = Authority("front-proxy")
        self.account = ec.generate_private_key(ec.SECP256R1())


class Cluster:
    """One etcd member and one kube-apiserver; `flags` are added to the server's.

    With `stores`, the server is one on etcd members that somebody else runs: the URLs of those that it asks. `program`
    is another server than ours, which takes the same flags.
    """

    def __init__(
        self,
        folder: Path,
        flags: Sequence[str] = (),
        *,
        etcd: Member | None = None,
        stores: Sequence[str] = (),
        address: str = "127.0.0.1",
        keys: Keys | None = None,
        program: Path | None = None,
    ) -> None:
        self.folder = folder
        # What the server is: upstream's program takes the same flags. To be changed while no server runs.
        self.program: Sequence[str] = OURS if program is None else (str(program),)
        self.address = address
        self.port = free_port()
        self.etcd = etcd or Member(folder / "etcd")
        self._stores = list(stores)
        self._flags = list(flags)
        self.keys = keys or Keys()
        self.authority, self.front_proxy = self.keys.authority, self.keys.front_proxy
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._tokens = 0

    @property
    def server(self) -> str:
        """Its URL."""
        return f"https://{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self.folder / "kube-apiserver.log").read_text(encoding="utf-8")

    def write(self, name: str, content: bytes) -> str:
        """A file below the cluster's folder; its path."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    def kubeconfig(self, user: str = "admin", groups: Sequence[str] = ("system:masters",), *, token: str = "") -> str:
        """The path of a kubeconfig for a user by certificate, or by token where one is given."""
        if not token:
            return self.kubeconfig_of(user, *self.authority.issue(user, groups))
        self._tokens += 1
        return self._kubeconfig(f"token-{self._tokens}", {"token": token})

    def kubeconfig_of(self, name: str, certificate: bytes, key: bytes) -> str:
        """The path of a kubeconfig for whoever has this certificate."""
        return self._kubeconfig(
            name,
            {
                "client-certificate-data": base64.b64encode(certificate).decode(),
                "client-key-data": base64.b64encode(key).decode(),
            },
        )

    def _kubeconfig(self, user: str, credentials: dict[str, str]) -> str:
        cluster = {
            "server": self.server,
            "certificate-authority-data": base64.b64encode(self.authority.pem).decode(),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        return self.write(f"{user.replace(':', '-')}.conf", yaml.safe_dump(config).encode())

    def session(self, user: str = "admin", groups: Sequence[str] = ("system:masters",)) -> aiohttp.ClientSession:
        """Plain HTTP as a user by certificate ("" for nobody), for what a client hides: headers, refusals, floods."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        if user:
            certificate, key = self.authority.issue(user, groups)
            context.load_cert_chain(
                self.write(f"session-{user}.crt", certificate), self.write(f"session-{user}.key", key)
            )
        return aiohttp.ClientSession(self.server, connector=aiohttp.TCPConnector(ssl=context, limit=0))

    async def raw(self, request: bytes) -> bytes:
        """The answer to bytes that no well-behaved client sends; without credentials, until the server closes."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        reader, writer = await asyncio.open_connection(
            self.address, self.port, ssl=context, server_hostname="localhost"
        )
        try:
            writer.write(request)
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def stored(self, key: str) -> bytes:
        """What etcd has at a key, b"" where nothing."""
        store = etcd.EtcdStore(etcd.Settings([self.etcd.endpoint]))
        try:
            entry = (await store.get(key)).entry
            return b"" if entry is None else entry.value
        finally:
            await store.close()

    def kubectl(self, *arguments: str, kubeconfig: str = "", input: str = "", check: bool = True) -> str:  # noqa: A002
        """Run kubectl; what it printed (with its errors where `check` is False)."""
        config = kubeconfig or str(self.folder / "admin.conf")
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={config}", *arguments],
            input=input.encode() if input else None,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "HOME": str(self.folder)},
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout.decode() + ("" if check else done.stderr.decode())

    def _arguments(self) -> list[str]:
        certificate, key = self.authority.issue(
            "kube-apiserver",
            names=["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
            addresses=sorted({"127.0.0.1", self.address, "10.96.0.1"}),
        )
        public = self.keys.account.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        proxy_certificate, proxy_key = self.front_proxy.issue("front-proxy-client")
        kubelet_certificate, kubelet_key = self.authority.issue("kube-apiserver-kubelet-client", ["system:masters"])
        return [
            f"--etcd-servers={','.join(self._stores or [self.etcd.endpoint])}",
            f"--bind-address={self.address}",
            f"--secure-port={self.port}",
            "--advertise-address=192.0.2.1",
            f"--tls-cert-file={self.write('apiserver.crt', certificate)}",
            f"--tls-private-key-file={self.write('apiserver.key', key)}",
            f"--client-ca-file={self.write('ca.crt', self.authority.pem)}",
            f"--requestheader-client-ca-file={self.write('front-proxy-ca.crt', self.front_proxy.pem)}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-uid-headers=X-Remote-Uid",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={self.write('front-proxy-client.crt', proxy_certificate)}",
            f"--proxy-client-key-file={self.write('front-proxy-client.key', proxy_key)}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self.write('sa.pub', public)}",
            f"--service-account-signing-key-file={self.write('sa.key', key_pem(self.keys.account))}",
            f"--kubelet-certificate-authority={self.folder / 'ca.crt'}",
            f"--kubelet-client-certificate={self.write('apiserver-kubelet-client.crt', kubelet_certificate)}",
            f"--kubelet-client-key={self.write('apiserver-kubelet-client.key', kubelet_key)}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            "--enable-bootstrap-token-auth",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            *self._flags,
        ]

    def add_flags(self, *flags: str) -> None:
        """More flags, such as hang on the port, for a server that was not started yet."""
        self._flags += flags

    def start_server(self) -> None:
        """Start the API server and wait until it is ready."""
        self.launch_server()
        self.wait_server()

    def launch_server(self) -> None:
        """Start the API server."""
        if not hasattr(self, "_made"):
            self._made = self._arguments()
        self._log = (self.folder / "kube-apiserver.log").open("ab")
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [*self.program, *self._made]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=environment)

    def wait_server(self) -> None:
        """Wait until the API server is ready."""
        assert self._process is not None
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.server}/readyz", timeout=2, context=context):
                    return
            except (TimeoutError, urllib.error.URLError, ConnectionError):
                # A port that is not open yet tells nobody when it will be.
                time.sleep(0.05)
        raise AssertionError(f"kube-apiserver did not become ready:\n{self.log[-4000:]}")

    def wait_end(self, seconds: float = 30) -> int:
        """Wait for the end of the API server; its exit status."""
        assert self._process is not None
        return self._process.wait(seconds)

    def stop_server(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 30) -> None:
        """End the API server and wait for it, at most so long: upstream's waits a minute for its watchers."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(seconds)
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._stores:
            self.etcd.start()
        try:
            self.start_server()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.kubeconfig()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            self.stop_server()
        finally:
            self.etcd.stop()
