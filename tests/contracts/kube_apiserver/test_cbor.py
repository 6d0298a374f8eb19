"""CBOR over the wire (KEP-4222), behind its gate."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from keelson.api import cbor
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.definitions import things

pytestmark = pytest.mark.lab

MAPS = "/api/v1/namespaces/default/configmaps"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/wire.example.org/v1/namespaces/default/things"
_HEADERS = {"Content-Type": cbor.MEDIA_TYPE, "Accept": cbor.MEDIA_TYPE}
_DEFINITION = things("wire.example.org")


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server with the gate on."""
    with Cluster(tmp_path_factory.mktemp("cbor"), ["--feature-gates=CBORServingAndStorage=true"]) as found:
        yield found


async def ask(
    cluster: Cluster, method: str, path: str, value: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, str, bytes]:
    """(status, media type, body)."""
    raw = None if value is None else io.BytesIO(value if isinstance(value, bytes) else cbor.dumps(value))
    async with (
        cluster.session() as session,
        session.request(method, path, data=raw, headers=_HEADERS | (headers or {})) as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.read()


async def test_objects_lists_and_errors(speaking: Cluster) -> None:
    made = {"kind": "ConfigMap", "metadata": {"name": "a"}, "binaryData": {"x": "AAEC"}, "data": {"k": "v"}}
    status, media_type, raw = await ask(speaking, "POST", MAPS, made)
    assert (status, media_type) == (201, cbor.MEDIA_TYPE)
    assert raw.startswith(cbor.PREFIX)
    created = cbor.loads(raw)
    assert created["binaryData"] == {"x": "AAEC"}
    # Bytes may come as such, marked to be shown in base64 (RFC 8949, tag 22), as Go's clients send them.
    name, size = cbor.encode("b"), cbor.map_head(1)
    tagged = bytes.fromhex("d643000102")
    body = cbor.encode({"metadata": {"name": "b"}})[1:]
    _, _, raw = await ask(
        speaking, "POST", MAPS, cbor.map_head(2) + body + cbor.encode("binaryData") + size + name + tagged
    )
    assert cbor.loads(raw)["binaryData"] == {"b": "AAEC"}
    _, _, raw = await ask(speaking, "GET", f"{MAPS}/a")
    assert cbor.loads(raw) == created
    _, _, raw = await ask(speaking, "GET", MAPS)
    listed = cbor.loads(raw)
    assert listed["kind"] == "ConfigMapList"
    assert [each["metadata"]["name"] for each in listed["items"]] == ["a", "b"]
    status, media_type, raw = await ask(speaking, "GET", f"{MAPS}/none")
    assert (status, media_type, cbor.loads(raw)["reason"]) == (404, cbor.MEDIA_TYPE, "NotFound")
    only = f"{cbor.MEDIA_TYPE};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    _, _, raw = await ask(speaking, "GET", MAPS, headers={"Accept": only})
    assert [each["metadata"]["name"] for each in cbor.loads(raw)["items"]] == ["a", "b"]
    dry = {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}
    assert (await ask(speaking, "DELETE", f"{MAPS}/a", dry))[0] == 200
    assert (await ask(speaking, "GET", f"{MAPS}/a"))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        cbor.PREFIX,
        cbor.dumps([]),
        cbor.dumps({"kind": "ConfigMap"}) + b"\0",
        bytes.fromhex("a2416101416102"),
        bytes.fromhex("a14161f97e00"),
        bytes.fromhex("a14161c249010000000000000000"),
        b"\x9f" * 3_000_000,
        b"\x9f" + bytes(3_000_000),
        bytes.fromhex("bbffffffffffffffff"),
    ],
    ids=lambda body: body[:8].hex(),
)
async def test_what_is_no_object_is_refused(speaking: Cluster, body: bytes) -> None:
    status, _, raw = await ask(speaking, "POST", f"{MAPS}?dryRun=All", body)
    assert (status, cbor.loads(raw)["reason"]) == (400, "BadRequest")


async def test_watches_are_sequences(speaking: Cluster) -> None:
    made = {"kind": "ConfigMap", "metadata": {"name": "watched"}}
    created = cbor.loads((await ask(speaking, "POST", MAPS, made))[2])
    query = "watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name=watched"
    status, media_type, raw = await ask(speaking, "GET", f"{MAPS}?{query}")
    assert (status, media_type) == (200, cbor.SEQUENCE_MEDIA_TYPE)
    reader = cbor._Reader(raw)
    assert reader.value(0) == {"type": "ADDED", "object": created}
    assert reader.at == len(raw)


async def test_custom_objects_and_apply(speaking: Cluster) -> None:
    async with Client(kubeconfigs.load(str(speaking.folder / "admin.conf")), user_agent="suite") as client:
        await client.create("customresourcedefinitions.apiextensions.k8s.io", _DEFINITION)
    thing = {
        "apiVersion": "wire.example.org/v1",
        "kind": "Thing",
        "metadata": {"name": "t", "namespace": "default"},
        "spec": {"f": 1.5, "i": -7, "n": None, "l": [1, {"a": True}], "s": "ü"},
    }
    apply = {"Content-Type": "application/apply-patch+cbor"}
    status, _, raw = await ask(speaking, "PATCH", f"{THINGS}/t?fieldManager=m", thing, apply)
    while status == 404:
        status, _, raw = await ask(speaking, "PATCH", f"{THINGS}/t?fieldManager=m", thing, apply)
    applied = cbor.loads(raw)
    assert status == 201
    assert applied["spec"] == thing["spec"]
    assert applied["metadata"]["managedFields"][0]["operation"] == "Apply"
    _, _, raw = await ask(speaking, "GET", THINGS)
    assert [each["spec"] for each in cbor.loads(raw)["items"]] == [thing["spec"]]


async def test_without_the_gate_it_is_not_spoken(cluster: Cluster) -> None:
    made = {"kind": "ConfigMap", "metadata": {"name": "a"}}
    assert (await ask(cluster, "POST", f"{MAPS}?dryRun=All", made, {"Accept": "application/json"}))[0] == 415
    assert (await ask(cluster, "GET", MAPS))[0] == 406
    apply = {"Content-Type": "application/apply-patch+cbor", "Accept": "application/json"}
    assert (await ask(cluster, "PATCH", f"{MAPS}/a?fieldManager=m", made, apply))[0] == 415
