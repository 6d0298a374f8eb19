"""Two instances on one etcd that do not serve the same: what only the other serves is passed on to it (KEP-4020)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from components.setup import kubernetes_programs
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import ROOT, Authority, Cluster, Keys
from tests.contracts.storage.etcd_members import Member

pytestmark = pytest.mark.lab

JOBS = "/apis/batch/v1/namespaces/default/jobs"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "passed-on"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
}
AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - {level: Metadata, resources: [{group: batch}]}
"""


class Pair:
    """`less` does not serve batch and passes it on; `more` serves everything."""

    def __init__(self, folder: Path, etcd: Member, *, less: Path | None = None, more: Path | None = None) -> None:
        keys = Keys()
        folder.mkdir(parents=True, exist_ok=True)
        authority = folder / "peers.crt"
        authority.write_bytes(keys.authority.pem)
        policy = folder / "audit.yaml"
        policy.write_text(AUDIT, encoding="utf-8")
        self.audit = {name: folder / f"{name}.audit" for name in ("less", "more")}
        made = {}
        for name, program in (("less", less), ("more", more)):
            flags = [
                f"--peer-ca-file={authority}",
                "--peer-advertise-ip=127.0.0.1",
                f"--audit-policy-file={policy}",
                f"--audit-log-path={self.audit[name]}",
            ]
            if name == "less":
                flags.append("--runtime-config=batch/v1=false")
            made[name] = Cluster(folder / name, flags, stores=[etcd.endpoint], keys=keys, program=program)
            made[name].add_flags(f"--peer-advertise-port={made[name].port}")
            if program is not None:
                # Upstream's 1.36.3 reads the flags of the peers' address and states the other one nevertheless.
                made[name].add_flags("--advertise-address=127.0.0.1")
        self.less, self.more = made["less"], made["more"]

    def told(self, name: str) -> list[dict[str, Any]]:
        """The audit events of one of them that are of jobs."""
        lines = self.audit[name].read_text(encoding="utf-8").splitlines()
        events = [json.loads(line) for line in lines]
        return [each for each in events if (each.get("objectRef") or {}).get("resource") == "jobs"]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    member = Member(tmp_path_factory.mktemp("etcd"))
    member.start()
    yield member
    member.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, etcd: Member) -> Iterator[Pair]:
    found = Pair(tmp_path_factory.mktemp("pair"), etcd)
    with found.less, found.more:
        yield found


@asynccontextmanager
async def admin(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(kubeconfigs.load(str(cluster.folder / "admin.conf")), user_agent="suite") as client:
        yield client


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait for a condition that another process brings about."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.1)


async def reaches(cluster: Cluster) -> None:
    """Wait until a server passes jobs on."""
    async with cluster.session() as session:

        async def listed() -> bool:
            async with session.get(JOBS) as answer:
                return answer.status == 200

        await until(listed)


async def use(pair: Pair, name: str) -> None:
    """Create, watch, read, patch and delete a job through the server that does not serve it."""
    await reaches(pair.less)
    job = {**JOB, "metadata": {"name": name}}
    async with pair.less.session(f"eve-{name}", ["system:masters"]) as session:
        async with session.post(JOBS, json=job) as answer:
            assert answer.status == 201, await answer.text()
        async with session.get(f"{JOBS}?watch=true&fieldSelector=metadata.name={name}") as watch:
            assert json.loads(await watch.content.readline())["type"] == "ADDED"
            patch = {"metadata": {"labels": {"a": "b"}}}
            kind = {"Content-Type": "application/merge-patch+json"}
            async with session.patch(f"{JOBS}/{name}", data=json.dumps(patch), headers=kind) as answer:
                assert (await answer.json())["metadata"]["labels"]["a"] == "b"
            assert json.loads(await watch.content.readline())["type"] == "MODIFIED"
        async with session.delete(f"{JOBS}/{name}") as answer:
            assert answer.status == 200
        async with session.get(f"{JOBS}/none") as answer:
            assert answer.status == 404
            assert (await answer.json())["details"]["name"] == "none"
    events = [each for each in pair.told("more") if (each["objectRef"].get("name") or name) == name]
    assert {each["user"]["username"] for each in events if each["verb"] in ("patch", "delete")} == {f"eve-{name}"}
    assert any("system:masters" in each["user"]["groups"] for each in events)


async def discovered(cluster: Cluster, accept: str) -> tuple[str, set[str], str]:
    async with cluster.session() as session, session.get("/apis", headers={"Accept": accept}) as answer:
        document = await answer.json()
        names = {each["metadata"]["name"] for each in document["items"]}
        return answer.headers["Content-Type"], names, answer.headers["ETag"]


async def test_what_a_peer_serves_is_passed_on_to_it(pair: Pair) -> None:
    await use(pair, "ours")


async def test_discovery_tells_of_peers_unless_asked_not_to(pair: Pair) -> None:
    await reaches(pair.less)
    kind, whole, etag = await discovered(pair.less, AGGREGATED)
    assert kind == AGGREGATED
    assert "batch" in whole
    kind, own, other = await discovered(pair.less, f"{AGGREGATED};profile=nopeer")
    assert kind == f"{AGGREGATED};profile=nopeer"
    assert "batch" not in own
    assert etag != other
    assert (
        (await discovered(pair.more, AGGREGATED))[1]
        == (await discovered(pair.more, f"{AGGREGATED};profile=nopeer"))[1]
        == whole
    )


async def test_a_request_that_was_passed_on_goes_no_further(pair: Pair) -> None:
    await reaches(pair.less)
    async with pair.less.session() as session:
        answer = await session.get(JOBS, headers={"X-Kubernetes-Peer-Proxied": "true"})
        assert answer.status == 404
        # Nobody serves this: it is refused here, and not sent around.
        answer = await session.get("/apis/batch/v1/namespaces/default/none")
        assert answer.status == 404


async def test_identity_is_taken_from_the_connection_alone(pair: Pair) -> None:
    await reaches(pair.less)
    forged = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters", "X-Remote-Uid": "1"}
    async with pair.less.session("mallory", []) as session, session.get(JOBS, headers=forged) as answer:
        assert answer.status == 403
        assert 'User "mallory" cannot list' in (await answer.json())["message"]
    async with pair.less.session("boss", ["system:masters"]) as session:
        acting = {"Impersonate-User": "mallory", "Impersonate-Group": "system:masters"}
        async with session.get(f"{JOBS}?limit=7", headers=acting) as answer:
            assert answer.status == 200
    (event,) = [
        each for each in pair.told("more") if "limit=7" in each["requestURI"] and each["stage"] == "ResponseComplete"
    ]
    assert event["user"]["username"] == "mallory"
    assert "impersonatedUser" not in event


async def test_requests_passed_on_are_counted(pair: Pair) -> None:
    await reaches(pair.less)
    async with pair.less.session() as session, session.get("/metrics") as answer:
        text = await answer.text()
    assert 'apiserver_rerouted_request_total{code="200",group="batch",resource="jobs",version="v1"}' in text


async def test_a_peer_that_is_gone_is_told_of(tmp_path: Path, etcd: Member) -> None:
    found = Pair(tmp_path, etcd)
    with found.less:
        with found.more:
            await reaches(found.less)
            found.more.stop_server(number=9)  # type: ignore[arg-type]
            async with found.less.session() as session, session.get(JOBS) as answer:
                assert answer.status == 503
                assert "proxying" in (await answer.json())["message"]
            found.more.start_server()
            await reaches(found.less)
        # It has left in order, and taken its lease with it: nobody serves this any more.
        async with found.less.session() as session:

            async def unknown() -> bool:
                async with session.get(JOBS) as answer:
                    return answer.status == 404

            await until(unknown)


async def test_a_peer_of_another_authority_is_not_asked(tmp_path: Path, etcd: Member, pair: Pair) -> None:
    stranger = tmp_path / "stranger.crt"
    stranger.write_bytes(Authority("stranger").pem)
    for name, flags in (("none", []), ("other", [f"--peer-ca-file={stranger}"])):
        alone = Cluster(
            tmp_path / name, ["--runtime-config=batch/v1=false", *flags], stores=[etcd.endpoint],
            keys=pair.more.keys,
        )  # fmt: skip
        with alone:
            async with alone.session() as session, session.get(JOBS) as answer:
                assert answer.status == 404
        assert ("does not tell what it serves" in alone.log) == bool(flags)


async def test_identities_of_the_dead_are_collected(pair: Pair) -> None:
    leases = "leases.coordination.k8s.io"
    old = {
        "metadata": {
            "name": "apiserver-dead",
            "namespace": "kube-system",
            "labels": {"apiserver.kubernetes.io/identity": "kube-apiserver"},
        },
        "spec": {
            "holderIdentity": "dead",
            "leaseDurationSeconds": 3600,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    }
    pair.less.stop_server()
    async with admin(pair.more) as client:
        await client.create(leases, old)
        pair.less.start_server()

        async def gone() -> bool:
            found = await client.list(leases, namespace="kube-system")
            return "apiserver-dead" not in {each["metadata"]["name"] for each in found["items"]}

        await until(gone)


@pytest.mark.nightly
@pytest.mark.parametrize("theirs", ["less", "more"])
async def test_with_upstreams_server(tmp_path: Path, theirs: str) -> None:
    program = kubernetes_programs.build(ROOT, "kube-apiserver")
    member = Member(tmp_path / "etcd")
    member.start()
    try:
        found = Pair(tmp_path, member, **{theirs: program})
        with found.less, found.more:
            await use(found, "mixed")
            assert "batch" in (await discovered(found.less, AGGREGATED))[1]
            assert "batch" not in (await discovered(found.less, f"{AGGREGATED};profile=nopeer"))[1]
    finally:
        member.stop()
