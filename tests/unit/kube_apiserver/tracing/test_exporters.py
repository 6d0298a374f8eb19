"""Spans on their way: batches, what a full queue does, what a collector refuses, sockets, the end."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from keelson.kube_apiserver.tracing import configurations
from keelson.kube_apiserver.tracing.exporters import Exporter, Terms
from keelson.kube_apiserver.tracing.spans import Tracer
from tests.contracts.kube_apiserver.collectors import Collector


def _ended(exporter: Exporter, name: str) -> None:
    Tracer(1.0, exporter.add).root(name, None, trusted=False).leave()


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("localhost:4317", "http://localhost:4317"),
        ("dns:collector:4317", "http://collector:4317"),
        ("dns:///collector:4317", "http://collector:4317"),
        ("dns://9.9.9.9/collector", "http://collector:443"),
        ("[::1]:4317", "http://[::1]:4317"),
        ("unix:///run/collector", "unix:/run/collector"),
        ("unix:run/collector", "unix:run/collector"),
        ("unix-abstract:collector", "unix-abstract:collector"),
    ],
)
def test_endpoints_are_read_as_grpc_reads_them(tmp_path: Path, endpoint: str, url: str) -> None:
    path = tmp_path / "tracing.yaml"
    path.write_text(
        f"apiVersion: apiserver.config.k8s.io/v1beta1\nkind: TracingConfiguration\nendpoint: '{endpoint}'\n",
        encoding="utf-8",
    )
    assert configurations.load(str(path)) == configurations.Configuration(url, 0.0)


async def test_what_waits_is_sent_at_the_end_and_too_much_is_dropped() -> None:
    async with Collector() as collector:
        exporter = Exporter(f"http://{collector.endpoint}", {}, Terms(3600.0, 3, 2))
        async with exporter.run():
            # The loop has no turn in between: all of these wait together.
            for number in range(5):
                _ended(exporter, str(number))
        assert [each.span.name for each in collector.spans] == ["0", "1", "2"]
        assert collector.calls == 2


async def test_a_full_batch_goes_at_once() -> None:
    async with Collector() as collector:
        exporter = Exporter(f"http://{collector.endpoint}", {}, Terms(3600.0, 10, 2))
        async with exporter.run():
            _ended(exporter, "a")
            _ended(exporter, "b")
            await collector.until(lambda taken: taken.span.name == "b")


async def test_what_a_collector_refuses_is_lost_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    async with Collector(refusals=1) as collector:
        exporter = Exporter(f"http://{collector.endpoint}", {}, Terms(0.01, 10, 1))
        with caplog.at_level(logging.WARNING):
            async with exporter.run():
                _ended(exporter, "refused")
                _ended(exporter, "taken")
                await collector.until(lambda taken: taken.span.name == "taken")
        assert [each.span.name for each in collector.spans] == ["taken"]
        assert "spans are lost, traces export: INVALID_ARGUMENT: not today" in caplog.text


@pytest.mark.parametrize("scheme", ["unix", "unix-abstract"])
async def test_a_collector_behind_a_socket(tmp_path: Path, scheme: str) -> None:
    address = f"unix:{tmp_path}/otlp" if scheme == "unix" else f"unix-abstract:{tmp_path.name}"
    async with Collector(address) as collector:
        exporter = Exporter(address, {"service.name": "apiserver"}, Terms(3600.0, 10, 1))
        async with exporter.run():
            _ended(exporter, "here")
            found = await collector.until(lambda taken: taken.span.name == "here")
        assert found.resource == {"service.name": "apiserver"}


async def test_a_collector_that_is_not_there_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Exporter("http://127.0.0.1:1", {}, Terms(3600.0, 10, 10))
    with caplog.at_level(logging.WARNING):
        async with exporter.run():
            _ended(exporter, "lost")
    assert "the last spans could not be exported: UNAVAILABLE: failed to connect to 127.0.0.1:1" in caplog.text
