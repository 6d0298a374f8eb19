"""Webhooks may answer anything: a request fails in the words for that, and the server lives on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing import answers
from tests.faults.fuzzing.answers import Liar
from tests.faults.fuzzing.requests import Case
from tests.faults.fuzzing.targets import Target, counts, run

pytestmark = pytest.mark.lab

_CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_GROUP = "lies.example.com"
_THINGS = f"/apis/{_GROUP}/v2/namespaces/default/things"
_METADATA = {"name": "one", "namespace": "default"}
_STORED = {"apiVersion": f"{_GROUP}/v1", "kind": "Thing", "metadata": _METADATA, "spec": {"a": 1}}
_MEMORY_MIB = 64


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Liar]:
    with Liar(tmp_path_factory.mktemp("liar")) as found:
        yield found


def post(target: Target, path: str, body: object) -> None:
    status, told = target.ask(Case("POST", path, json.dumps(body).encode(), "application/json"))
    assert status == 201, told


def review(liar: Liar) -> dict[str, object]:
    """A webhook for ConfigMaps with a label that nobody else has."""
    hook = {
        "name": "liar.example.com",
        "clientConfig": liar.config("/review"),
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"]}],
        "objectSelector": {"matchLabels": {"told": "lies"}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 10,
    }
    return {"metadata": {"name": "liar"}, "webhooks": [hook]}


def definition(liar: Liar) -> dict[str, object]:
    """A kind whose second version is made by a webhook."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": name, "served": True, "storage": name == "v1", "schema": schema} for name in ("v1", "v2")]
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    webhook = {"clientConfig": liar.config("/convert"), "conversionReviewVersions": ["v1"]}
    conversion = {"strategy": "Webhook", "webhook": webhook}
    spec = {"group": _GROUP, "scope": "Namespaced", "names": names, "versions": versions, "conversion": conversion}
    return {"metadata": {"name": f"things.{_GROUP}"}, "spec": spec}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, liar: Liar) -> Iterator[Target]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        found = Target(cluster)
        hooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        post(found, hooks, review(liar))
        # A consistent list brings it to the cache: it is in force.
        assert found.ask(Case("GET", hooks))[0] == 200
        post(found, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(liar))
        things = _THINGS.replace("v2", "v1")
        waits.blocked_until(lambda: found.ask(Case("GET", things))[0] == 200)
        post(found, things, _STORED)
        yield found
        found.close()


def judge(target: Target, liar: Liar, case: Case, reply: bytes) -> None:
    """Ask for what needs the liar's answer. It may choose the status; but nothing may fail that was not foreseen."""
    liar.reply, before, logged = reply, liar.asked, len(target.cluster.log)
    with target.frugal():
        status, body = target.ask(case)
    assert liar.asked > before
    if status >= 400:
        told = json.loads(body)
        assert (told["kind"], told["status"], told["code"]) == ("Status", "Failure", status)
    assert "Traceback" not in target.cluster.log[logged:], (status, body, target.cluster.log[logged:])


_MAP = {"metadata": {"generateName": "told-", "labels": {"told": "lies"}}, "data": {"a": "1"}}
_CREATION = Case("POST", f"{_CONFIG_MAPS}?dryRun=All", json.dumps(_MAP).encode(), "application/json")


@counts(60, 3000)
def test_admission_reviews(target: Target, liar: Liar, examples: int) -> None:
    run(
        examples,
        answers.answers(answers.admission_reviews()),
        lambda reply: judge(target, liar, _CREATION, reply),
    )


@counts(60, 3000)
def test_conversion_reviews(target: Target, liar: Liar, examples: int) -> None:
    patch = Case("PATCH", f"{_THINGS}/one?dryRun=All", b'{"spec":{"b":2}}', "application/merge-patch+json")
    run(
        examples,
        answers.answers(answers.conversion_reviews(_STORED)),
        lambda reply: judge(target, liar, patch, reply),
    )


@pytest.mark.parametrize("case", [_CREATION, Case("GET", f"{_THINGS}/one")], ids=["review", "conversion"])
def test_what_is_huge_once_it_is_unpacked(target: Target, liar: Liar, case: Case) -> None:
    before = target.memory()
    judge(target, liar, case, answers.bomb())
    assert target.memory() < before + _MEMORY_MIB
