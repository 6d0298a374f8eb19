"""Kubeconfig files (clientcmd v1 Config): from a file to the address, trust and credentials of one cluster."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


class KubeconfigError(Exception):
    """A kubeconfig that can't be used; the message names the file and the field."""


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """How to reach one API server.

    `server` is its URL. A certificate and key are PEM file paths or PEM bytes; `token_file` is read again as it
    changes. `ca_data` empty means the system's trust.
    """

    server: str
    ca_data: bytes = b""
    tls_server_name: str = ""
    insecure: bool = False
    certificate: bytes | str = b""
    key: bytes | str = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""

    def context(self) -> ssl.SSLContext:
        """The TLS context of these settings; OSError or ssl.SSLError where a file can't be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_data:
            context.load_verify_locations(cadata=self.ca_data.decode())
        else:
            context.load_default_certs()
        self.identify(context)
        return context

    def identify(self, context: ssl.SSLContext) -> None:
        """Show this certificate, if there is one; OSError or ssl.SSLError where a file can't be used."""
        if self.certificate:
            _with_files(context, self.certificate, self.key)

    def bearer(self) -> str:
        """The token of now, "" where there is none; OSError where its file can't be read."""
        return self.token or (Path(self.token_file).read_text(encoding="ascii").strip() if self.token_file else "")


def _with_files(context: ssl.SSLContext, certificate: bytes | str, key: bytes | str) -> None:
    if isinstance(certificate, str) and isinstance(key, str):
        context.load_cert_chain(certificate, key or None)
        return
    # The ssl module loads only from files; the folder is private and gone before this returns.
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, content in (("cert", certificate), ("key", key)):
            if isinstance(content, str):
                paths.append(content)
                continue
            path = Path(folder, name)
            path.touch(mode=0o600)
            path.write_bytes(content)
            paths.append(str(path))
        context.load_cert_chain(*paths)


def load(path: str, *, context: str = "") -> ClientConfig:
    """The configuration of a context (default: the file's current one); KubeconfigError where it can't be used."""
    return parse(_read(path), where=path, folder=Path(path).parent, context=context)


def _read(path: str) -> Any:
    # Only those who have a file of this kind pay for its reader.
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path}: not valid YAML") from error


def users(path: str) -> tuple[dict[str, ClientConfig], str]:
    """(the credentials of every user of a file, without a server; the current context's user or "").

    For files that say who to be towards which server, by the names of users. Raises KubeconfigError.
    """
    document = _read(path)
    if not isinstance(document, dict) or document.get("kind") != "Config":
        raise KubeconfigError(f"{path}: not a kubeconfig (kind: Config)")
    reader = _Reader(path, Path(path).parent)
    found = {entry["name"]: reader.user(entry.get("user") or {}) for entry in document.get("users") or []}
    current = document.get("current-context") or ""
    chosen = _named(document, "contexts", "context", current, path) if current else {}
    return found, str(chosen.get("user") or "")


def parse(document: Any, *, where: str, folder: Path, context: str = "") -> ClientConfig:
    """`load` of a document already read; relative paths in it start at `folder`."""
    if not isinstance(document, dict) or document.get("kind") != "Config":
        raise KubeconfigError(f"{where}: not a kubeconfig (kind: Config)")
    wanted = context or document.get("current-context") or ""
    chosen = _named(document, "contexts", "context", wanted, where)
    cluster = _named(document, "clusters", "cluster", chosen.get("cluster", ""), where)
    user = _named(document, "users", "user", chosen["user"], where) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise KubeconfigError(f'{where}: cluster "{chosen.get("cluster")}" has no server')
    reader = _Reader(where, folder)
    return replace(
        reader.user(user),
        server=str(cluster["server"]).rstrip("/"),
        ca_data=reader.content(cluster, "certificate-authority"),
        tls_server_name=cluster.get("tls-server-name", ""),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
    )


def _named(document: Mapping[str, Any], section: str, key: str, name: str, where: str) -> dict[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            return entry.get(key) or {}
    raise KubeconfigError(f'{where}: {section} has no entry named "{name}"')


@dataclass(frozen=True)
class _Reader:
    where: str
    folder: Path

    def path(self, value: str) -> str:
        return str(self.folder / value) if value else ""

    def data(self, entry: Mapping[str, Any], name: str) -> bytes:
        try:
            return base64.b64decode(entry.get(f"{name}-data") or "", validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"{self.where}: {name}-data is not base64") from error

    def content(self, entry: Mapping[str, Any], name: str) -> bytes:
        if data := self.data(entry, name):
            return data
        if not entry.get(name):
            return b""
        path = Path(self.path(entry[name]))
        try:
            return path.read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{self.where}: {name} {path}: {error.strerror}") from error

    def user(self, entry: Mapping[str, Any]) -> ClientConfig:
        return ClientConfig(
            server="",
            certificate=self.data_or_path(entry, "client-certificate"),
            key=self.data_or_path(entry, "client-key"),
            token=entry.get("token", ""),
            token_file=self.path(entry.get("tokenFile", "")),
        )

    def data_or_path(self, entry: Mapping[str, Any], name: str) -> bytes | str:
        return self.data(entry, name) or self.path(entry.get(name, ""))


_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_cluster(getenv: Callable[[str], str | None] = os.environ.get) -> ClientConfig:
    """The configuration of a pod from its service account volume and environment; KubeconfigError outside a pod."""
    host, port = getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise KubeconfigError("not in a pod: KUBERNETES_SERVICE_HOST is not set")
    address = f"[{host}]" if ":" in host else host
    return ClientConfig(
        server=f"https://{address}:{port}",
        ca_data=(_ACCOUNT / "ca.crt").read_bytes(),
        token_file=str(_ACCOUNT / "token"),
    )
