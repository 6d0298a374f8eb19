"""Traces of a real server, as a real collector takes them: whose requests are in them, and what they waited for."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.collectors import Collector
from tests.contracts.kube_apiserver.extension_servers import ExtensionServer
from tests.contracts.kube_apiserver.test_aggregation import API_SERVICES, until
from tests.contracts.kube_apiserver.webhook_servers import WebhookServer

pytestmark = pytest.mark.lab

_CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_PARENT = 0x00F067AA0BA902B7


def _headers(trace_id: int, *, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id:032x}-{_PARENT:016x}-0{int(sampled)}"}


def _file(folder: Path, endpoint: str, rate: int | None = None) -> str:
    path = folder / "tracing.yaml"
    text = f"apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpoint: {endpoint}\n"
    path.write_text(text + ("" if rate is None else f"samplingRatePerMillion: {rate}\n"), encoding="utf-8")
    return f"--tracing-config-file={path}"


@asynccontextmanager
async def _running(folder: Path, flags: Sequence[str]) -> AsyncIterator[Cluster]:
    cluster = Cluster(folder / "cluster", flags)
    await asyncio.to_thread(cluster.__enter__)
    try:
        yield cluster
    finally:
        await asyncio.to_thread(cluster.__exit__, None, None, None)


@pytest.fixture(scope="module", autouse=True)
def _soon() -> Any:
    """Spans are sent soon, by OpenTelemetry's own variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "OTEL_BSP_SCHEDULE_DELAY", "50")
        yield


def _is(trace_id: int, name: str) -> Any:
    wanted = trace_id.to_bytes(16, "big")
    return lambda taken: taken.span.trace_id == wanted and taken.span.name == name


async def test_a_request_its_parent_and_what_it_asked_of_etcd(tmp_path: Path) -> None:
    async with (
        Collector() as collector,
        _running(tmp_path, [_file(tmp_path, collector.endpoint)]) as cluster,
        cluster.session() as session,
    ):
        body = {"metadata": {"name": "traced"}}
        headers = {**_headers(1), "tracestate": "vendor=1", "Audit-ID": "mine"}
        async with session.post(f"{_CONFIG_MAPS}?fieldManager=me", json=body, headers=headers) as answer:
            assert answer.status == 201
        name = "POST /api/v1/namespaces/{:namespace}/configmaps"
        request = await collector.until(_is(1, name))
        assert request.span.parent_span_id == _PARENT.to_bytes(8, "big")
        assert request.span.kind == trace.Span.SPAN_KIND_SERVER
        assert request.span.trace_state == "vendor=1"
        assert request.resource["service.name"] == "apiserver"
        assert request.resource["service.instance.id"].startswith("apiserver-")
        told = request.attributes
        assert told["http.target"] == f"{_CONFIG_MAPS}?fieldManager=me"
        assert (told["http.request.method"], told["http.response.status_code"]) == ("POST", 201)
        assert (told["url.path"], told["audit-id"]) == (_CONFIG_MAPS, "mine")
        assert told["server.port"] == cluster.port
        spans = collector.of_trace((1).to_bytes(16, "big"))
        assert spans["Create"].span.parent_span_id == request.span.span_id
        call = spans["etcdserverpb.KV/Txn"]
        assert call.span.kind == trace.Span.SPAN_KIND_CLIENT
        assert (call.attributes["rpc.system"], call.attributes["rpc.grpc.status_code"]) == ("grpc", 0)
        above = {each.span.span_id: each for each in spans.values()}
        assert above[call.span.parent_span_id].span.name in ("Create", "Create etcd3")
        events = {event.name: event.time_unix_nano for event in spans["Create"].span.events}
        steps = ["Conversion done", "Mutating admission done", "Write to database call succeeded"]
        assert [name for name in events if name in steps] == steps
        written = events["Write to database call succeeded"]
        assert call.span.end_time_unix_nano <= written <= spans["Create"].span.end_time_unix_nano
        filters = [spans[name] for name in ("authentication", "priorityandfairness", "authorization")]
        assert all(each.span.parent_span_id == request.span.span_id for each in filters)
        ends = [each.span.end_time_unix_nano for each in filters]
        assert [each.span.start_time_unix_nano for each in filters] == [request.span.start_time_unix_nano, *ends[:-1]]
        for inner in (spans["Create"], call, *filters):
            assert request.span.start_time_unix_nano <= inner.span.start_time_unix_nano
            assert inner.span.end_time_unix_nano <= request.span.end_time_unix_nano


async def test_nothing_is_exported_that_is_not_sampled(tmp_path: Path) -> None:
    async with (
        Collector() as collector,
        _running(tmp_path, [_file(tmp_path, collector.endpoint)]) as cluster,
        cluster.session() as admin,
        cluster.session("eve", ["people"]) as eve,
    ):
        for session, headers in (
            (admin, {}),
            (admin, _headers(2, sampled=False)),
            (admin, {"traceparent": "00-nonsense"}),
            (eve, _headers(3)),
            (admin, _headers(4)),
        ):
            async with session.get("/version", headers=headers) as answer:
                assert answer.status == 200
        await collector.until(_is(4, "GET"))
        assert {each.span.trace_id for each in collector.spans} == {(4).to_bytes(16, "big")}


async def test_strangers_begin_traces_of_their_own_that_are_linked(tmp_path: Path) -> None:
    async with (
        Collector() as collector,
        _running(tmp_path, [_file(tmp_path, collector.endpoint, 1_000_000)]) as cluster,
        cluster.session("eve", ["people"]) as eve,
    ):
        async with eve.get("/version?mark=eve", headers=_headers(5, sampled=False)) as answer:
            assert answer.status == 200
        found = await collector.until(lambda taken: taken.attributes.get("http.target") == "/version?mark=eve")
        assert found.span.trace_id != (5).to_bytes(16, "big")
        assert not found.span.parent_span_id
        (link,) = found.span.links
        assert (link.trace_id, link.span_id) == ((5).to_bytes(16, "big"), _PARENT.to_bytes(8, "big"))


async def test_requests_that_repeat_each_other_are_sampled_too(tmp_path: Path) -> None:
    """Such GETs have a shorter road where they are not traced (quick_reads)."""
    async with (
        Collector() as collector,
        _running(tmp_path, [_file(tmp_path, collector.endpoint, 1_000_000)]) as cluster,
        cluster.session() as session,
    ):
        for _ in range(4):
            async with session.get("/api/v1/namespaces/default") as answer:
                assert answer.status == 200
                await answer.read()
        async with session.get("/version?mark=last") as answer:
            assert answer.status == 200
        await collector.until(lambda taken: taken.attributes.get("http.target") == "/version?mark=last")
        targets = [each.attributes.get("http.target") for each in collector.spans if not each.span.parent_span_id]
        assert targets.count("/api/v1/namespaces/default") == 4


async def test_webhooks_and_other_servers_are_told_whose_part_they_are(tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        if "traceparent" in request.headers and "/things" in request.path:
            seen[request.path] = request.headers["traceparent"]
        return web.json_response({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "a.test/v1"})

    async with (
        Collector() as collector,
        WebhookServer(tmp_path) as webhook,
        ExtensionServer(tmp_path / "extension", ["extension.default.svc"], respond) as extension,
        _running(tmp_path, [_file(tmp_path, collector.endpoint)]) as cluster,
        cluster.session() as session,
    ):
        webhook.reviews["/allow"] = lambda _request: {"allowed": True}
        hook = {
            "name": "one.example.com", "clientConfig": webhook.config("/allow"), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [
                {"apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"], "operations": ["CREATE"]},
            ],
        }  # fmt: skip
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        async with session.post(path, json={"metadata": {"name": "one"}, "webhooks": [hook]}) as answer:
            assert answer.status == 201, await answer.text()
        async with session.get(path) as answer:
            await answer.read()
        body = {"metadata": {"name": "hooked"}}
        async with session.post(_CONFIG_MAPS, json=body, headers=_headers(6)) as answer:
            assert answer.status == 201, await answer.text()
        await collector.until(_is(6, "POST /api/v1/namespaces/{:namespace}/configmaps"))
        spans = collector.of_trace((6).to_bytes(16, "big"))
        call, post = spans["Call mutating webhook"], spans["HTTP POST"]
        assert call.attributes["webhook"] == "one.example.com"
        assert call.attributes["configuration"] == "one"
        assert post.span.parent_span_id == call.span.span_id
        assert webhook.headers["traceparent"] == f"00-{6:032x}-{post.span.span_id.hex()}-01"

        async with Client(kubeconfigs.load(cluster.kubeconfig()), user_agent="test") as client:
            await _aggregate(client, extension)
        async with session.get("/apis/a.test/v1/things", headers=_headers(7)) as answer:
            assert answer.status == 200
        await collector.until(_is(7, "GET /apis/a.test/v1/things"))
        passed = collector.of_trace((7).to_bytes(16, "big"))["HTTP GET"]
        assert seen["/apis/a.test/v1/things"] == f"00-{7:032x}-{passed.span.span_id.hex()}-01"


async def _aggregate(client: Client, extension: ExtensionServer) -> None:
    """Have the extension server serve a.test/v1."""
    await client.create(
        "services",
        {
            "metadata": {"name": "extension", "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
    )
    spec = {
        "group": "a.test", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10,
        "caBundle": base64.b64encode(extension.authority.pem).decode(),
        "service": {"namespace": "default", "name": "extension", "port": extension.port},
    }  # fmt: skip
    await client.create(API_SERVICES, {"metadata": {"name": "v1.a.test"}, "spec": spec})
    await until(client, "v1.a.test", "True", "Passed")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("samplingRatePerMillion: -1", "samplingRatePerMillion: Invalid value: -1: sampling rate must be positive"),
        ("endpoint: http://a:1", 'endpoint: Invalid value: "http://a:1": unsupported scheme: http.'),
        ("end: a:1", ".end: unknown field"),
    ],
)
def test_a_bad_file_ends_the_server_with_the_reason(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "tracing.yaml"
    path.write_text(
        f"apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n{content}\n", encoding="utf-8"
    )
    cluster = Cluster(tmp_path / "cluster", [f"--tracing-config-file={path}"])
    with pytest.raises(AssertionError, match="did not become ready"):
        cluster.__enter__()
    assert why in cluster.log
