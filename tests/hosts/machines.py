"""The hosts that are verified, as the toolkit describes them in a JSON file, and ways to look at them."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import testinfra  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

PKI = "/etc/kubernetes/pki"


@dataclass(frozen=True, slots=True)
class Machine:
    """A host: how it is reached, the roles it has (`groups`), and what is told of its cluster (`variables`)."""

    name: str
    address: str
    user: str
    port: int
    private_key_path: str
    known_hosts: str
    groups: Sequence[str]
    variables: Mapping[str, Any]

    def connect(self, sockets: Path) -> Any:
        """testinfra's host, over SSH with the pinned key only; one login, shared through a socket in `sockets`."""
        options = f"-F /dev/null -o UserKnownHostsFile={self.known_hosts} -o GlobalKnownHostsFile=/dev/null"
        return testinfra.get_host(
            f"ssh://{self.user}@{self.address}:{self.port}?controlpersist=30",
            ssh_identity_file=self.private_key_path,
            ssh_extra_args=f"{options} -o StrictHostKeyChecking=yes -o BatchMode=yes -o ConnectTimeout=10"
            f" -o ControlPath={sockets}/%C",
            sudo=self.user != "root",
        )

    def answers(self, port: int, address: str = "") -> bool:
        """Whether the operator's machine can connect to a TCP port of the host."""
        try:
            with socket.create_connection((address or self.address, port), timeout=3):
                return True
        except OSError:
            return False


def load(path: str) -> list[Machine]:
    """The hosts of a hosts file: `{"hosts": [...]}` with the fields of `Machine`."""
    return [Machine(**entry) for entry in json.loads(Path(path).read_text())["hosts"]]


def certificate(host: Any, path: str) -> x509.Certificate:
    """A certificate that lies on the host, the first of its file."""
    return x509.load_pem_x509_certificate(host.file(path).content)


def alternative_names(found: x509.Certificate) -> set[str]:
    """DNS names and IP addresses that a certificate is for (RFC 5280, subjectAltName)."""
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def issued_by(found: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority has signed the certificate."""
    try:
        found.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - each key type raises its own; all of them mean no
        return False
    return True


def request(address: str, port: int, path: str, authority: x509.Certificate) -> tuple[int, bytes]:
    """GET over TLS without credentials, the server's certificate verified by `authority`: status and body."""
    context = ssl.create_default_context(cadata=authority.public_bytes(Encoding.PEM).decode())
    with (
        socket.create_connection((address, port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=address) as stream,
    ):
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while block := stream.recv(65536):
            answer += block
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def http_status(host: Any, url: str) -> str:
    """The status that the host itself gets for a URL without credentials; "000" where nothing answers."""
    command = "curl --silent --insecure --max-time 5 --output /dev/null --write-out %{http_code} " + url
    return str(host.run(command).stdout)


def properties(host: Any, unit: str, *names: str) -> dict[str, str]:
    """A unit's properties as systemd has them (systemctl(1), show)."""
    text = host.check_output("systemctl show --property=%s %s", ",".join(names), unit)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def exposure(host: Any, unit: str) -> float:
    """systemd's own judgement of a unit's sandbox: 0 for none exposed, 10 for all (systemd-analyze(1), security)."""
    listed = json.loads(host.check_output("systemd-analyze security --json=short --no-pager"))
    return next(float(entry["exposure"]) for entry in listed if entry["unit"] == unit)


def listeners(host: Any) -> set[tuple[str, int]]:
    """Address and port of each TCP listener."""
    found = set()
    for line in host.check_output("ss --no-header --listening --tcp --numeric").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        found.add((address.strip("[]").partition("%")[0], int(port)))
    return found


def etcdctl(host: Any, address: str, *arguments: str) -> str:
    """Ask etcd from one of its hosts, with the health check's certificate."""
    folder = f"{PKI}/etcd"
    command = f"etcdctl --endpoints=https://{address}:2379 --cacert={folder}/ca.crt"
    command += f" --cert={folder}/healthcheck-client.crt --key={folder}/healthcheck-client.key "
    return str(host.check_output(command + " ".join(arguments)))


def refuses_old_tls(address: str, port: int) -> bool:
    """Whether a server turns TLS 1.1 away (RFC 8996)."""
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as configuration:
        # The operator's own OpenSSL would refuse first, and prove nothing.
        sections = ("openssl_conf = a", "[a]", "ssl_conf = b", "[b]", "system_default = c", "[c]")
        configuration.write("\n".join((*sections, "CipherString = ALL@SECLEVEL=0\n")))
        configuration.flush()
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{address}:{port}", "-tls1_1"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env={"OPENSSL_CONF": configuration.name, "PATH": "/usr/bin:/bin"},
        )
    # The client did offer it, and got no further: some servers say why, some just close.
    offered = "CONNECTED" in done.stdout and "no protocols available" not in done.stderr
    return offered and "Cipher is (NONE)" in done.stdout
