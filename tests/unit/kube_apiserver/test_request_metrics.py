"""Labels of requests: upstream's, and never what a client makes up."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.registry.catalogues import Catalogue
from keelson.kube_apiserver.request_metrics import Meters
from keelson.kube_apiserver.serving import request_infos
from keelson.storage.memory import MemoryStore
from keelson.storage.transformers import Identity


@pytest.fixture
def meters() -> Meters:
    catalogue = Catalogue(Feed(MemoryStore()), Identity())
    return Meters(catalogue, lambda group, _version: group == "far.example.com")


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/api/v1/namespaces/a/pods/b", ("GET", "", "", "v1", "pods", "", "resource", "apiserver")),
        ("GET", "/api/v1/namespaces/a/pods", ("LIST", "", "", "v1", "pods", "", "namespace", "apiserver")),
        ("GET", "/api/v1/pods", ("LIST", "", "", "v1", "pods", "", "cluster", "apiserver")),
        ("POST", "/api/v1/namespaces/a/pods", ("POST", "", "", "v1", "pods", "", "resource", "apiserver")),
        ("PUT", "/apis/apps/v1/namespaces/a/deployments/b/status",
         ("PUT", "", "apps", "v1", "deployments", "status", "resource", "apiserver")),
        ("POST", "/api/v1/namespaces/a/pods/b/exec",
         ("CONNECT", "", "", "v1", "pods", "exec", "resource", "apiserver")),
        ("GET", "/api/v1/namespaces/a/inventions/b", ("GET", "", "", "", "", "", "resource", "apiserver")),
        ("GET", "/api/v1/namespaces/a/pods/b/invention", ("GET", "", "", "v1", "pods", "", "resource", "apiserver")),
        ("GET", "/apis/far.example.com/v1/things/b",
         ("GET", "", "far.example.com", "v1", "", "", "resource", "apiserver")),
        ("GET", "/healthz/invention", ("GET", "", "", "", "", "", "", "apiserver")),
        ("INVENT", "/version", ("OTHER", "", "", "", "", "", "", "apiserver")),
    ],
)  # fmt: skip
def test_labels(meters: Meters, method: str, path: str, labels: tuple[str, ...]) -> None:
    assert meters.of(request_infos.of(method, path)).labels == labels


def test_apply_and_dry_runs_are_told_apart(meters: Meters) -> None:
    info = request_infos.of("PATCH", "/api/v1/namespaces/a/pods/b")
    assert meters.of(info, "fieldManager=x&dryRun=All", "application/apply-patch+yaml").labels[:2] == ("APPLY", "All")
    assert meters.of(info, "fieldManager=x", "application/merge-patch+json").labels[:2] == ("PATCH", "")


def test_what_clients_make_up_is_kept_nowhere(meters: Meters) -> None:
    for number in range(50):
        meters.of(request_infos.of("GET", f"/api/v1/namespaces/n-{number}/invented-{number}/x/y-{number}")).count(404)
        meters.of(request_infos.of("GET", f"/apis/g-{number}/v1/things")).count(403)
        meters.of(request_infos.of("GET", f"/paths/{number}")).count(404)
    assert len(meters._meters) <= 4
    assert len(meters._found) <= 4


def test_numbers_are_shown_as_histograms(meters: Meters) -> None:
    meter = meters.of(request_infos.of("GET", "/api/v1/namespaces/a/pods/b"))
    assert meter is meters.of(request_infos.of("GET", "/api/v1/namespaces/c/pods/d"))
    meter.note(200, 0.005, 1000)
    meter.note(200, 0.3, 10)
    meter.note(404, 100.0, 5_000_000)
    meter.begin()
    registry = CollectorRegistry()
    registry.register(meters)
    text = generate_latest(registry).decode()
    labels = 'component="apiserver",dry_run="",group=""'
    tail = 'resource="pods",scope="resource",subresource="",verb="GET",version="v1"}'
    assert f'apiserver_request_total{{code="200",{labels},{tail} 2.0' in text
    for bound, count in (("0.005", 1), ("0.2", 1), ("0.4", 2), ("60", 2), ("+Inf", 3)):
        le = f'apiserver_request_duration_seconds_bucket{{component="apiserver",dry_run="",group="",le="{bound}",'
        line = next(line for line in text.splitlines() if line.startswith(le))
        assert line.endswith(f" {count}.0")
    shown = "apiserver_response_sizes_bucket"
    sizes = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(shown)]
    assert sizes == ["2.0", "2.0", "2.0", "2.0", "3.0", "3.0", "3.0", "3.0"]
    assert "apiserver_longrunning_requests{" in text


def test_waiting_for_others_is_no_time_of_the_servers_own(meters: Meters) -> None:
    meter = meters.of(request_infos.of("POST", "/api/v1/namespaces/a/pods"))
    meter.note(201, 0.003)
    meter.note(201, 3.5)
    meter.without(3.5, 3.25)
    registry = CollectorRegistry()
    registry.register(meters)
    text = generate_latest(registry).decode().splitlines()
    own = {line.partition('le="')[2].partition('"')[0]: line.rpartition(" ")[2] for line in text
           if line.startswith("apiserver_request_sli_duration_seconds_bucket")}  # fmt: skip
    assert (own["0.05"], own["0.2"], own["0.4"], own["+Inf"]) == ("1.0", "1.0", "2.0", "2.0")
    (total,) = (line for line in text if line.startswith("apiserver_request_sli_duration_seconds_sum"))
    assert float(total.rpartition(" ")[2]) == pytest.approx(0.253)
    (whole,) = (line for line in text if line.startswith("apiserver_request_duration_seconds_sum"))
    assert float(whole.rpartition(" ")[2]) == pytest.approx(3.503)
