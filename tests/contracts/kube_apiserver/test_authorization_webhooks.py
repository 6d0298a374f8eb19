"""The mode Webhook on a real server: by flags and by file, conditions, answers believed, failures decided."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.scrapes import Served, scraped
from tests.contracts.kube_apiserver.token_issuers import HttpsServer

pytestmark = pytest.mark.lab

_CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


class Oracle:
    """A webhook that says what it is told to say of each user, and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.broken = False
        self.server = HttpsServer(folder, self._answer)

    def _answer(self, _path: str, body: bytes) -> tuple[int, Any]:
        review = json.loads(body)
        self.asked.append(review)
        if self.broken:
            return 403, {}
        status = self.answers.get(review["spec"]["user"], {"allowed": False, "reason": "unheard of"})
        return 200, {**review, "status": status}

    def about(self, user: str) -> list[dict[str, Any]]:
        """What it was asked about a user."""
        return [each["spec"] for each in self.asked if each["spec"]["user"] == user]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    found = Oracle(tmp_path_factory.mktemp("oracle"))
    with found.server:
        yield found


def _entry(kubeconfig: str, **more: Any) -> dict[str, Any]:
    webhook = {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "authorizedTTL": "5m",
        "unauthorizedTTL": "5m",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": kubeconfig},
        "matchConditions": [
            {"expression": "has(request.resourceAttributes)"},
            {"expression": "request.resourceAttributes.namespace == 'default'"},
            {"expression": "!request.groups.exists(g, g == 'exempted')"},
        ],
        **more,
    }
    return {"type": "Webhook", "name": "oracle", "webhook": webhook}


def _write(path: Path, *entries: dict[str, Any]) -> None:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": [*entries, {"type": "Node", "name": "node"}, {"type": "RBAC", "name": "rbac"}],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


class Configured(Cluster):
    """A cluster whose modes are in a file."""

    def _arguments(self) -> list[str]:
        return [each for each in super()._arguments() if not each.startswith("--authorization-mode")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, oracle: Oracle) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    path = folder / "authorization.yaml"
    _write(path, _entry(oracle.server.kubeconfig(folder / "oracle.conf")))
    with Configured(folder, [f"--authorization-config={path}"]) as found:
        yield found


async def _get(cluster: Cluster, user: str, path: str = _CONFIGMAPS, groups: tuple[str, ...] = ()) -> tuple[int, str]:
    async with cluster.session(user, groups) as session, session.get(path) as answer:
        return answer.status, await answer.text()


async def test_it_allows_denies_and_leaves_to_others(cluster: Cluster, oracle: Oracle) -> None:
    oracle.answers["ann"] = {"allowed": True}
    oracle.answers["bob"] = {"allowed": False, "denied": True, "reason": "bob is not to be trusted"}
    assert (await _get(cluster, "ann"))[0] == 200
    status, text = await _get(cluster, "bob")
    assert (status, "bob is not to be trusted" in text) == (403, True)
    # It has no opinion of others; roles decide.
    status, text = await _get(cluster, "cyd")
    assert (status, "unheard of" in text) == (403, True)
    assert (await _get(cluster, "root", groups=("system:masters",)))[0] == 200
    assert not oracle.about("root")
    (spec,) = oracle.about("ann")
    assert spec["groups"] == ["system:authenticated"]
    assert spec["resourceAttributes"] == {
        "namespace": "default", "verb": "list", "version": "v1", "resource": "configmaps",
    }  # fmt: skip


async def test_answers_are_believed_for_a_while(cluster: Cluster, oracle: Oracle) -> None:
    oracle.answers["dan"] = {"allowed": True}
    # Who asks is his credential too: another certificate is asked about anew.
    async with cluster.session("dan", []) as dan, cluster.session("eve", []) as eve:
        for _ in range(3):
            async with dan.get(_CONFIGMAPS) as answer:
                assert answer.status == 200
            async with eve.get(_CONFIGMAPS) as answer:
                assert answer.status == 403
    assert (len(oracle.about("dan")), len(oracle.about("eve"))) == (1, 1)


async def test_conditions_say_what_it_is_asked_about(cluster: Cluster, oracle: Oracle) -> None:
    await _get(cluster, "fay", "/api/v1/namespaces/kube-system/configmaps")
    await _get(cluster, "fay", "/metrics")
    await _get(cluster, "fay", groups=("exempted",))
    assert not oracle.about("fay")
    await _get(cluster, "fay", f"{_CONFIGMAPS}?fieldSelector=metadata.namespace!%3Dx")
    (spec,) = oracle.about("fay")
    assert spec["resourceAttributes"]["fieldSelector"]["requirements"] == [
        {"key": "metadata.namespace", "operator": "NotIn", "values": ["x"]}
    ]


async def test_a_review_asks_it_too(cluster: Cluster, oracle: Oracle) -> None:
    oracle.answers["gus"] = {"allowed": True, "reason": "because"}
    spec = {"user": "gus", "resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}
    body = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    async with cluster.session() as session, session.post(path, json=body) as answer:
        assert (await answer.json())["status"] == {"allowed": True, "reason": "because"}


async def test_who_can_not_be_asked_fails_closed_or_open_as_configured(cluster: Cluster, oracle: Oracle) -> None:
    oracle.broken = True
    try:
        status, _ = await _get(cluster, "hal")
        assert status == 403
        # The file is read again when it changes.
        path = cluster.folder / "authorization.yaml"
        kubeconfig = str(cluster.folder / "oracle.conf")
        _write(path, _entry(kubeconfig, failurePolicy="NoOpinion"))
        binding = {
            "metadata": {"name": "views"},
            "roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [{"kind": "User", "name": "ida", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        async with cluster.session() as session:
            bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
            async with session.post(bindings, json=binding) as answer:
                assert answer.status == 201

        async def open_() -> bool:
            return (await _get(cluster, "ida"))[0] == 200

        await waits.until(open_)
    finally:
        oracle.broken = False


async def test_flags_name_one_too(tmp_path: Path, oracle: Oracle) -> None:
    oracle.answers["jon"] = {"allowed": True}
    kubeconfig = oracle.server.kubeconfig(tmp_path / "oracle.conf")
    flags = ["--authorization-mode=Webhook", f"--authorization-webhook-config-file={kubeconfig}"]
    with Cluster(tmp_path / "cluster", flags) as cluster:
        assert (await _get(cluster, "jon"))[0] == 200
        # The older review has another name for groups.
        assert oracle.asked[-1]["apiVersion"] == "authorization.k8s.io/v1beta1"
        assert oracle.about("jon")[-1]["group"] == ["system:authenticated"]
        assert (await _get(cluster, "kim"))[0] == 403


async def test_it_is_asked_once_about_a_request_whose_body_comes_late(tmp_path: Path, oracle: Oracle) -> None:
    oracle.answers["joy"] = {"allowed": True}
    kubeconfig = oracle.server.kubeconfig(tmp_path / "oracle.conf")
    flags = [
        "--authorization-mode=Webhook",
        f"--authorization-webhook-config-file={kubeconfig}",
        "--authorization-webhook-cache-authorized-ttl=0s",
    ]
    with Cluster(tmp_path / "cluster", flags) as cluster:
        async with cluster.session("joy", []) as session:
            body = {"metadata": {"name": "late"}}
            async with session.post(_CONFIGMAPS, json=body, expect100=True) as answer:
                assert answer.status == 201
        assert len(oracle.about("joy")) == 1


async def test_policies_in_a_file_allow_too(tmp_path: Path) -> None:
    policy = {
        "apiVersion": "abac.authorization.kubernetes.io/v1beta1",
        "kind": "Policy",
        "spec": {"user": "lea", "namespace": "default", "resource": "configmaps", "readonly": True},
    }
    path = tmp_path / "policies.jsonl"
    path.write_text(json.dumps(policy), encoding="utf-8")
    with Cluster(tmp_path / "cluster", ["--authorization-mode=ABAC", f"--authorization-policy-file={path}"]) as cluster:
        assert (await _get(cluster, "lea"))[0] == 200
        assert (await _get(cluster, "lea", "/api/v1/namespaces/default/secrets"))[0] == 403
        status, text = await _get(cluster, "max")
        assert (status, "No policy matched." in text) == (403, True)


async def test_reloads_are_measured_as_upstreams_are(cluster: Cluster, oracle: Oracle) -> None:
    """An administrator sees by its hash which configuration every server has (KEP-3221)."""
    path = cluster.folder / "authorization.yaml"
    prefix = "apiserver_authorization_config_controller"

    async def read() -> dict[str, Served]:
        async with cluster.session("root", ["system:masters"]) as session:
            return await scraped(session)

    def hash_of(found: dict[str, Served]) -> set[str]:
        return {dict(labels)["hash"] for _, labels in found[f"{prefix}_last_config_info"].samples}

    def digest() -> str:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"

    whole = path.read_bytes()
    before = await read()
    assert hash_of(before) == {digest()}
    path.write_bytes(whole + b"# more\n")
    written = digest()

    async def taken() -> bool:
        return hash_of(await read()) == {written}

    await waits.until(taken)
    found = await read()
    reloads = found[f"{prefix}_automatic_reloads_total"]
    assert (reloads.kind, reloads.labels) == ("counter", {"status", "apiserver_id_hash"})

    def more(status: str, found: dict[str, Served]) -> float:
        name = f"{prefix}_automatic_reloads_total"
        return found[name].of(status=status) - (before[name].of(status=status) if name in before else 0.0)

    assert more("success", found) == 1
    assert found[f"{prefix}_automatic_reload_last_timestamp_seconds"].of(status="success") == pytest.approx(
        time.time(), abs=60
    )
    path.write_text("nonsense", encoding="utf-8")

    async def refused() -> bool:
        return more("failure", await read()) == 1

    await waits.until(refused)
    assert hash_of(await read()) == {written}
    path.write_bytes(whole)
