"""What dashboards and alerts find on /metrics: upstream's names and labels, and that they count what happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.scrapes import scraped
from tests.contracts.kube_apiserver.webhook_servers import WebhookServer, denied

pytestmark = pytest.mark.lab

_CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_REQUEST = "component group resource scope subresource verb version"
# Upstream's list of stable metrics (test/instrumentation/testdata/stable-metrics-list.yaml, 1.36), those of the API
# server: type and labels by name, first the stable ones, then those in beta whose subject is here.
_UPSTREAM = {
    "apiserver_admission_controller_admission_duration_seconds": ("histogram", "name operation rejected type"),
    "apiserver_admission_step_admission_duration_seconds": ("histogram", "operation rejected type"),
    "apiserver_admission_webhook_admission_duration_seconds": ("histogram", "name operation rejected type"),
    "apiserver_current_inflight_requests": ("gauge", "request_kind"),
    "apiserver_longrunning_requests": ("gauge", _REQUEST),
    "apiserver_request_duration_seconds": ("histogram", f"{_REQUEST} dry_run"),
    "apiserver_request_total": ("counter", f"{_REQUEST} code dry_run"),
    "apiserver_requested_deprecated_apis": ("gauge", "group removed_release resource subresource version"),
    "apiserver_response_sizes": ("histogram", _REQUEST),
    "apiserver_storage_objects": ("gauge", "resource"),
    "apiserver_storage_size_bytes": ("gauge", "storage_cluster_id"),
    "apiserver_flowcontrol_current_executing_requests": ("gauge", "flow_schema priority_level"),
    "apiserver_flowcontrol_current_executing_seats": ("gauge", "flow_schema priority_level"),
    "apiserver_flowcontrol_current_inqueue_requests": ("gauge", "flow_schema priority_level"),
    "apiserver_flowcontrol_dispatched_requests_total": ("counter", "flow_schema priority_level"),
    "apiserver_flowcontrol_nominal_limit_seats": ("gauge", "priority_level"),
    "apiserver_storage_events_received_total": ("counter", "group resource"),
    "apiserver_watch_list_duration_seconds": ("histogram", "group resource scope version"),
    "kubernetes_build_info": (
        "gauge",
        "build_date compiler git_commit git_tree_state git_version go_version major minor platform",
    ),
    # Alpha, and yet in everybody's dashboards (kubernetes-mixin).
    "apiserver_request_sli_duration_seconds": ("histogram", _REQUEST),
    "etcd_request_duration_seconds": ("histogram", "group operation resource"),
    "etcd_requests_total": ("counter", "group operation resource"),
    "apiserver_client_certificate_expiration_seconds": ("histogram", ""),
    "apiserver_authorization_decisions_total": ("counter", "decision name type"),
    "authenticated_user_requests": ("counter", "username"),
    "authentication_attempts": ("counter", "result"),
    "authentication_duration_seconds": ("histogram", "result"),
    "authorization_attempts_total": ("counter", "result"),
    "authorization_duration_seconds": ("histogram", "result"),
}


@pytest.fixture
async def session(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with cluster.session() as found:
        yield found


async def _ask(session: aiohttp.ClientSession, method: str, path: str, code: int, **more: object) -> None:
    async with session.request(method, path, **more) as answer:  # type: ignore[arg-type]
        assert answer.status == code, await answer.text()
        await answer.read()


async def test_names_and_labels_are_upstreams(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with WebhookServer(tmp_path) as webhook:
        webhook.reviews["/deny"] = lambda _request: denied("no", code=403)
        hook = {
            "name": "metrics.example.com", "clientConfig": webhook.config("/deny"), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "objectSelector": {"matchLabels": {"metrics": "deny"}},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"], "operations": ["CREATE"]},
            ],
        }  # fmt: skip
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        await _ask(session, "POST", path, 201, json={"metadata": {"name": "metrics"}, "webhooks": [hook]})
        await _ask(session, "GET", path, 200)
        body = {"metadata": {"name": "refused", "labels": {"metrics": "deny"}}}
        await _ask(session, "POST", _CONFIG_MAPS, 403, json=body)
        await _ask(session, "DELETE", f"{path}/metrics", 200)
    await _ask(session, "GET", "/api/v1/namespaces/default/endpoints", 200)
    initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    await _ask(session, "GET", f"{_CONFIG_MAPS}?watch=true&timeoutSeconds=1&{initial}", 200)
    found = await scraped(session)
    missing = {name: kind for name, (kind, _) in _UPSTREAM.items() if name not in found}
    assert not missing
    shown = {name: (found[name].kind, found[name].labels) for name in _UPSTREAM}
    assert shown == {name: (kind, set(labels.split())) for name, (kind, labels) in _UPSTREAM.items()}
    assert not [name for name in found if name.endswith("_created")]


async def test_what_happens_is_counted(session: aiohttp.ClientSession, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    before = await scraped(session)
    await _ask(session, "POST", path, 201, json={"metadata": {"name": "a"}})
    await _ask(session, "POST", path, 409, json={"metadata": {"name": "a"}})
    merge = {"Content-Type": "application/merge-patch+json"}
    await _ask(session, "PATCH", f"{path}/a", 200, json={"data": {"x": "y"}}, headers=merge)
    await _ask(session, "GET", "/api/v1/namespaces/default/endpoints/kubernetes", 200)
    await _ask(session, "DELETE", f"{path}/a", 200)
    initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    await _ask(session, "GET", f"/api/v1/namespaces?watch=true&timeoutSeconds=1&{initial}", 200)
    # A consistent list: the caches have everything by then.
    await _ask(session, "GET", path, 200)
    after = await scraped(session)

    def more(name: str, ending: str = "", /, **labels: str) -> float:
        return after[name].of(ending, **labels) - (before[name].of(ending, **labels) if name in before else 0.0)

    config_maps = {"group": "", "resource": "configmaps"}
    assert more("etcd_requests_total", operation="create", **config_maps) == 2
    assert more("etcd_requests_total", operation="update", **config_maps) == 1
    assert more("etcd_requests_total", operation="delete", **config_maps) == 1
    assert more("etcd_request_duration_seconds", "_count", operation="create", **config_maps) == 2
    assert "etcd_request_errors_total" not in after or not more("etcd_request_errors_total", **config_maps)
    assert more("apiserver_storage_events_received_total", **config_maps) == 3
    assert after["apiserver_storage_size_bytes"].of(storage_cluster_id="etcd-0") > 10_000
    step = "apiserver_admission_step_admission_duration_seconds"
    assert more(step, "_count", type="admit", operation="CREATE", rejected="false") >= 2
    assert more(step, "_count", type="validate", operation="UPDATE", rejected="false") >= 1
    name = "apiserver_admission_controller_admission_duration_seconds"
    assert more(name, "_count", name="NamespaceLifecycle", type="admit", operation="DELETE", rejected="false") >= 1
    sli = "apiserver_request_sli_duration_seconds"
    assert more(sli, "_count", verb="POST", resource="configmaps") == 2
    assert more("apiserver_request_body_size_bytes", "_count", verb="patch", resource="configmaps") == 1
    spaces = {"group": "", "version": "v1", "resource": "namespaces"}
    assert more("apiserver_watch_events_total", **spaces) >= 4
    assert more("apiserver_watch_events_sizes", "_count", **spaces) >= 4
    assert more("apiserver_watch_list_duration_seconds", "_count", **spaces, scope="cluster") == 1
    flow = {"priority_level": "exempt", "flow_schema": "exempt"}
    assert more("apiserver_flowcontrol_request_execution_seconds", "_count", **flow, type="regular") >= 5
    assert more("apiserver_flowcontrol_request_execution_seconds", "_count", **flow, type="watch") >= 1
    assert more("apiserver_flowcontrol_work_estimated_seats", "_count", **flow) >= 6
    assert after["apiserver_requested_deprecated_apis"].of(resource="endpoints", version="v1") == 1


async def test_everybody_who_comes_is_counted(cluster: Cluster, session: aiohttp.ClientSession) -> None:
    before = await scraped(session)
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    # All but the first take the short road (quick_reads).
    for _ in range(5):
        await _ask(session, "GET", path, 200)
    bearer = {"Authorization": "Bearer invented"}
    async with cluster.session("") as nobody:
        await _ask(nobody, "GET", "/version", 200)
        await _ask(nobody, "GET", "/version", 401, headers=bearer)
    async with cluster.session("somebody@example.com", ["mine"]) as other:
        for _ in range(2):
            await _ask(other, "GET", _CONFIG_MAPS, 403)
    after = await scraped(session)

    def more(name: str, ending: str = "", /, **labels: str) -> float:
        return after[name].of(ending, **labels) - before[name].of(ending, **labels)

    # Five GETs, the one that was scraped before, one of nobody and two of somebody; as for upstream's server, the
    # scrape counts itself once it is let in.
    for name, ending in (("authentication_attempts", ""), ("authentication_duration_seconds", "_count")):
        assert more(name, ending, result="success") == 9
        assert more(name, ending, result="error") == 1
    assert more("authenticated_user_requests", username="admin") == 6
    assert more("authenticated_user_requests", username="email_id") == 2
    assert more("authenticated_user_requests", username="other") == 1
    assert more("apiserver_client_certificate_expiration_seconds", "_count") == 8
    assert more("apiserver_client_certificate_expiration_seconds", "_bucket", le="43200") == 8
    assert more("apiserver_client_certificate_expiration_seconds", "_bucket", le="21600") == 0
    for name, ending in (("authorization_attempts_total", ""), ("authorization_duration_seconds", "_count")):
        assert more(name, ending, result="allowed") == 7
        assert more(name, ending, result="no-opinion") == 2
    by_rbac = {"type": "RBAC", "name": "rbac", "decision": "allowed"}
    assert more("apiserver_authorization_decisions_total", **by_rbac) == 1


async def test_lists_and_caches_are_counted(session: aiohttp.ClientSession, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abc":
        body = {"metadata": {"name": name, "labels": {"name": name}}, "data": {"text": 1000 * name}}
        await _ask(session, "POST", path, 201, json=body)
    await _ask(session, "GET", path, 200)
    before = await scraped(session)
    await _ask(session, "GET", path, 200)
    await _ask(session, "GET", f"{path}?limit=2", 200)
    await _ask(session, "GET", f"{path}?labelSelector=name=b", 200)
    after = await scraped(session)
    maps = {"group": "", "resource": "configmaps"}

    def more(name: str) -> float:
        return after[name].of(**maps) - before[name].of(**maps)

    assert more("apiserver_cache_list_total") == 3
    assert more("apiserver_cache_list_fetched_objects_total") == 3 + 2 + 3
    assert more("apiserver_cache_list_returned_objects_total") == 3 + 2 + 1
    assert after["apiserver_watch_cache_initializations_total"].of(**maps) == 1
    # Other suites have left some, too.
    async with session.get("/api/v1/configmaps") as answer:
        whole = len(await answer.read())
    assert whole / 2 < after["apiserver_resource_size_estimate_bytes"].of(**maps) < 2 * whole


async def test_what_services_and_pods_are_given_is_counted(session: aiohttp.ClientSession, namespace: str) -> None:
    before = await scraped(session)
    root = f"/api/v1/namespaces/{namespace}"
    ports = {"type": "NodePort", "ports": [{"port": 80}]}
    for name, spec, code in (("any", ports, 201), ("asks", {**ports, "clusterIP": "10.96.0.77"}, 201),
                             ("late", {**ports, "clusterIP": "10.96.0.77"}, 422)):  # fmt: skip
        await _ask(session, "POST", f"{root}/services", code, json={"metadata": {"name": name}, "spec": spec})
    strict = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    merge = {"Content-Type": "application/merge-patch+json"}
    await _ask(session, "PATCH", f"/api/v1/namespaces/{namespace}", 200, json=strict, headers=merge)
    await _ask(session, "GET", f"/api/v1/namespaces/{namespace}", 200)
    container = {"name": "a", "image": "a"}
    for name, host_network, code in (("fine", False, 201), ("bold", True, 403)):
        pod = {"automountServiceAccountToken": False, "hostNetwork": host_network, "containers": [container]}
        await _ask(session, "POST", f"{root}/pods", code, json={"metadata": {"name": name}, "spec": pod})
    after = await scraped(session)

    def more(name: str, ending: str = "", /, **labels: str) -> float:
        return after[name].of(ending, **labels) - (before[name].of(ending, **labels) if name in before else 0.0)

    prefix, cidr = "kube_apiserver_clusterip_allocator", {"cidr": "10.96.0.0/16"}
    assert more(f"{prefix}_allocation_total", scope="dynamic", **cidr) == 1
    assert more(f"{prefix}_allocation_total", scope="static", **cidr) == 1
    assert more(f"{prefix}_allocation_errors_total", scope="static", **cidr) == 1
    assert more(f"{prefix}_allocation_duration_seconds", "_count", **cidr) == 3
    # With that of the server's own Service, and those that other suites have left.
    async with session.get("/api/v1/services") as answer:
        specs = [each["spec"] for each in (await answer.json())["items"]]
    assert after[f"{prefix}_allocated_ips"].of(**cidr) == sum(each.get("clusterIP", "None") != "None" for each in specs)
    assert after[f"{prefix}_available_ips"].of(**cidr) + after[f"{prefix}_allocated_ips"].of(**cidr) == 65_534
    assert more("kube_apiserver_nodeport_allocator_allocation_total", scope="dynamic") == 2
    ports_taken = sum("nodePort" in port for each in specs for port in each.get("ports", ()))
    assert after["kube_apiserver_nodeport_allocator_allocated_ports"].of() == ports_taken
    assert after["kube_apiserver_nodeport_allocator_available_ports"].of() == 2768 - ports_taken
    evaluated = {"policy_level": "baseline", "policy_version": "latest", "mode": "enforce", "resource": "pod"}
    assert more("pod_security_evaluations_total", decision="allow", **evaluated) == 1
    assert more("pod_security_evaluations_total", decision="deny", **evaluated) == 1


async def test_the_deprecated_are_said_to_be(session: aiohttp.ClientSession) -> None:
    for _ in range(3):
        # Such GETs have a shorter road where they have nothing but an answer (quick_reads).
        async with session.get("/api/v1/namespaces/default/endpoints/kubernetes") as answer:
            assert answer.headers["Warning"] == (
                '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
            )


async def test_time_passes_over_seats(session: aiohttp.ClientSession) -> None:
    before = await scraped(session)
    after = await scraped(session)
    for name in ("demand_seats", "priority_level_seat_utilization"):
        family = f"apiserver_flowcontrol_{name}"
        level = {"priority_level": "catch-all"}
        passed = after[family].of("_count", **level) - before[family].of("_count", **level)
        # Nanoseconds, each of which is one observation.
        assert 1e5 < passed < 60e9
        # Nobody is in the level: there was no demand in all that time.
        assert after[family].of("_sum", **level) == before[family].of("_sum", **level)


async def test_service_levels_are_served_apart(session: aiohttp.ClientSession) -> None:
    await _ask(session, "GET", "/readyz", 200)
    found = await scraped(session, "/metrics/slis")
    assert found["kubernetes_healthcheck"].of(type="readyz", name="etcd") == 1
    assert found["kubernetes_healthchecks_total"].of(type="readyz", name="ping", status="success") >= 1
    assert set(found) == {"kubernetes_healthcheck", "kubernetes_healthchecks_total"}
