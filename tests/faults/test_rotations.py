"""What protects a cluster is replaced while clients work: nobody is refused, and nothing old is needed at the end."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509

from keelson.storage import etcd
from tests import waits
from tests.compatibility.wires import Wire
from tests.contracts.kube_apiserver.api_servers import Authority, Cluster
from tests.contracts.storage.etcd_members import Member
from tests.faults.control_planes import ControlPlane
from tests.faults.traffic import CHANGING, Traffic

pytestmark = pytest.mark.lab

_RESTING = 50


def encrypt(path: Path, *names: str) -> None:
    """Let ConfigMaps be written with the first of these keys, and read with each."""
    keys = ", ".join(f"{{name: {name}, secret: {base64.b64encode(name.encode() * 32).decode()}}}" for name in names)
    path.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
        f"resources: [{{resources: [configmaps], providers: [{{secretbox: {{keys: [{keys}]}}}}]}}]\n",
        encoding="utf-8",
    )


async def reloaded(plane: ControlPlane, what: str, times: int) -> None:
    """Every server has read it so many times."""

    async def done() -> bool:
        return all(server.log.count(f"{what} are reloaded") >= times for server in plane.servers)

    await waits.until(done, what)


async def values(member: Member, prefix: str) -> list[bytes]:
    """What etcd has below a prefix."""
    store = etcd.EtcdStore(etcd.Settings([member.endpoint]))
    try:
        return [entry.value for entry in (await store.list(prefix)).entries]
    finally:
        await store.close()


async def test_encryption_keys(tmp_path: Path) -> None:
    """By the steps of upstream's documentation: a second key, promoted, all written anew, the first one retired."""
    configuration = tmp_path / "encryption.yaml"
    encrypt(configuration, "a")
    flags = [f"--encryption-provider-config={configuration}", "--encryption-provider-config-automatic-reload"]
    with ControlPlane(tmp_path, members=1, flags=flags) as plane:
        wire, collection = Wire(plane.servers[0]), "/api/v1/namespaces/default/configmaps"
        for number in range(_RESTING):
            wire.done("POST", collection, {"metadata": {"name": f"resting-{number}"}, "data": {"k": "v"}})
        async with Traffic(plane.servers, "keys", weights=CHANGING, pause=0.01) as traffic:
            for turn, names in enumerate([("a", "b"), ("b", "a")], 1):
                encrypt(configuration, *names)
                await reloaded(plane, "encryption providers", turn)
            moment = time.monotonic()
            for server in plane.servers:
                # Through both, since both wrote with the first key.
                wire = Wire(server)
                for found in (await asyncio.to_thread(wire.done, "GET", collection))["items"]:
                    await asyncio.to_thread(wire.done, "PUT", f"{collection}/{found['metadata']['name']}", found)
            await traffic.until_rewritten(moment)
            for namespace in ("kube-system", "default"):
                listed = await asyncio.to_thread(wire.done, "GET", f"/api/v1/namespaces/{namespace}/configmaps")
                for found in listed["items"]:
                    path = f"/api/v1/namespaces/{namespace}/configmaps/{found['metadata']['name']}"
                    await asyncio.to_thread(wire.done, "PUT", path, found)
            encrypt(configuration, "b")
            await reloaded(plane, "encryption providers", 3)
            await traffic.settle(1)
        traffic.judge()
        assert {call.status for call in traffic.calls} == {200, 201, 404, 409}
        stored = await values(plane.members[0], "/registry/configmaps/")
        assert len(stored) >= _RESTING
        assert all(value.startswith(b"k8s:enc:secretbox:v1:b:") for value in stored)


def shown(server: Cluster) -> int:
    """The serial number of the certificate that a new connection sees."""
    pem = ssl.get_server_certificate((server.address, server.port), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


async def test_serving_certificates(tmp_path: Path) -> None:
    with ControlPlane(tmp_path, members=1) as plane:
        async with Traffic(plane.servers, "certificates", reconnects=True, pause=0.01) as traffic:
            for server in plane.servers:
                await traffic.settle(0.5)
                certificate, key = server.authority.issue("kube-apiserver", addresses=[server.address])
                # For a moment they do not fit.
                server.write("apiserver.crt", certificate)
                await traffic.settle(1.5)
                server.write("apiserver.key", key)
                serial = x509.load_pem_x509_certificate(certificate).serial_number

                async def renewed(server: Cluster = server, serial: int = serial) -> bool:
                    return await asyncio.to_thread(shown, server) == serial

                await waits.until(renewed)
            await traffic.settle(0.5)
        traffic.judge()
        assert {call.status for call in traffic.calls} == {200, 201, 404, 409}


async def test_the_authority_of_clients(tmp_path: Path) -> None:
    """Both are trusted while clients move from the old to the new; then the old one is nobody's any more."""
    other = Authority("another")
    with ControlPlane(tmp_path, members=1) as plane:
        async with Traffic(plane.servers, "old", reconnects=True, pause=0.01) as old:
            for server in plane.servers:
                server.write("ca.crt", server.authority.pem + other.pem)
            await reloaded(plane, "client authorities", 1)
            async with Traffic(plane.servers, "new", reconnects=True, pause=0.01, authority=other) as new:
                await old.settle(0.5)
                await new.settle(0.5)
                assert {call.status for call in (*old.calls, *new.calls)} == {200, 201, 404, 409}
        async with Traffic(plane.servers, "newer", reconnects=True, pause=0.01, authority=other) as new:
            for server in plane.servers:
                server.write("ca.crt", other.pem)
            await reloaded(plane, "client authorities", 2)
            await new.settle(0.5)
        new.judge()
        assert {call.status for call in new.calls} == {200, 201, 404, 409}
        for server in plane.servers:
            # The certificate is nobody's by now.
            status, _ = await asyncio.to_thread(Wire(server).request, "GET", "/api/v1/namespaces")
            assert status in (401, 403)
