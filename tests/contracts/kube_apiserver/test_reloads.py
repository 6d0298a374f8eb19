"""Certificates and CAs that change under a real server while it serves."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Authority, Cluster

pytestmark = pytest.mark.lab


async def _shown(cluster: Cluster) -> int:
    """The serial number of the certificate that the server shows to a new connection."""
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    _, writer = await asyncio.open_connection("127.0.0.1", cluster.port, ssl=context, server_hostname="localhost")
    raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(raw).serial_number


async def _logged(cluster: Cluster, text: str) -> bool:
    return text in cluster.log


def _session(cluster: Cluster, authority: Authority, user: str) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    certificate, key = authority.issue(user, ["system:masters"])
    context.load_cert_chain(cluster.write(f"{user}.crt", certificate), cluster.write(f"{user}.key", key))
    return aiohttp.ClientSession(cluster.server, connector=aiohttp.TCPConnector(ssl=context))


async def test_another_serving_certificate_is_shown(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        before = await _shown(cluster)
        certificate, key = cluster.authority.issue("kube-apiserver", names=["localhost"], addresses=["127.0.0.1"])
        # For a moment the two do not fit, and the old ones stay.
        cluster.write("apiserver.crt", certificate)
        await waits.until(lambda: _logged(cluster, "serving certificates can't be reloaded"))
        assert await _shown(cluster) == before
        cluster.write("apiserver.key", key)

        async def renewed() -> bool:
            return await _shown(cluster) == x509.load_pem_x509_certificate(certificate).serial_number

        await waits.until(renewed)


async def test_clients_of_a_new_authority_are_let_in_and_those_of_the_old_one_no_longer(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        other = Authority("another")
        path = "/api/v1/namespaces/default"
        async with _session(cluster, cluster.authority, "old") as old:
            for _ in range(3):
                # The second on a connection takes a shorter road than the first.
                async with old.get(path) as answer:
                    assert answer.status == 200
            cluster.write("ca.crt", cluster.authority.pem + other.pem)

            async def both() -> bool:
                try:
                    async with _session(cluster, other, "new") as new, new.get(path) as answer:
                        return answer.status == 200
                except aiohttp.ClientConnectionError:
                    # An authority that is not known yet does not get through the handshake.
                    return False

            await waits.until(both)
            async with old.get(path) as answer:
                assert answer.status == 200
            cluster.write("ca.crt", other.pem)

            async def refused() -> bool:
                # On the connection that was let in before.
                async with old.get(path) as answer:
                    return answer.status in (401, 403)

            await waits.until(refused)
        assert await both()
        # Extension servers learn it from here; of the old one they may go on to know, as other servers may use it.
        async with _session(cluster, other, "newer") as session:
            configuration = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"

            async def published() -> bool:
                async with session.get(configuration) as answer:
                    found: str = (await answer.json())["data"]["client-ca-file"]
                    return other.pem.decode().strip() in found

            await waits.until(published)
