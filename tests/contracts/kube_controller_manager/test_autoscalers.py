"""An autoscaler on a real server, with the metrics API as custom resources: it scales, and says what it lacks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from keelson.api import meta
from keelson.client.rest import Client
from keelson.kube_controller_manager.contexts import Settings
from keelson.kube_controller_manager.controllers.horizontal_pod_autoscaler import (
    RESOURCE,
    HorizontalPodAutoscalerController,
)
from keelson.kube_controller_manager.controllers.replica_set import ReplicationControllerController
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("nodes")]
METRICS = {
    "metadata": {
        "name": "pods.metrics.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": "metrics.k8s.io",
        "scope": "Namespaced",
        "names": {"plural": "pods", "singular": "pod", "kind": "PodMetrics"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
HEADERS = {"Content-Type": "application/json"}


async def test_replicas_follow_the_load_once_there_are_metrics(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def condition(type_: str, status: str, reason: str) -> bool:
        found = meta.condition(await client.get(RESOURCE, "web", namespace=namespace), type_) or {}
        return bool((found.get("status"), found.get("reason")) == (status, reason))

    async def replicas(count: int) -> bool:
        found = await client.get("replicationcontrollers", "web", namespace=namespace)
        return bool(found["spec"]["replicas"] == count)

    async def served() -> bool:
        return b"metrics.k8s.io" in await client.request("GET", "/apis")

    container: dict[str, Any] = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    owner = {"replicas": 1, "selector": {"app": "web"}, "template": template}
    await client.create("replicationcontrollers", {"metadata": {"name": "web", "namespace": namespace}, "spec": owner})
    target = {"type": "Utilization", "averageUtilization": 50}
    spec = {
        "scaleTargetRef": {"apiVersion": "v1", "kind": "ReplicationController", "name": "web"},
        "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    settings = Settings(
        horizontal_pod_autoscaler_sync_period=0.2, horizontal_pod_autoscaler_cpu_initialization_period=0.0
    )
    async with controlling(HorizontalPodAutoscalerController, ReplicationControllerController, settings=settings):
        await client.create(RESOURCE, {"metadata": {"name": "web", "namespace": namespace}, "spec": spec})
        await eventually(lambda: condition("ScalingActive", "False", "FailedGetResourceMetric"))
        found = meta.condition(await client.get(RESOURCE, "web", namespace=namespace), "ScalingActive") or {}
        assert "unable to fetch metrics from resource metrics API" in found["message"]
        await client.create("customresourcedefinitions.apiextensions.k8s.io", METRICS)
        await eventually(served)
        (pod,) = (await client.list("pods", namespace=namespace))["items"]
        usage = {
            "apiVersion": "metrics.k8s.io/v1beta1",
            "kind": "PodMetrics",
            "metadata": {"name": meta.name(pod), "labels": {"app": "web"}},
            "timestamp": meta.format_time(datetime.now(UTC)),
            "window": "30s",
            "containers": [{"name": "c", "usage": {"cpu": "100m", "memory": "1Mi"}}],
        }
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        await client.request("POST", path, body=orjson.dumps(usage), headers=HEADERS)
        await eventually(lambda: replicas(2))
        await eventually(lambda: condition("ScalingActive", "True", "ValidMetricFound"))
        status = (await client.get(RESOURCE, "web", namespace=namespace))["status"]
        (metric,) = status["currentMetrics"]
        assert metric["resource"]["current"] == {"averageUtilization": 100, "averageValue": "100m"}
        assert await condition("AbleToScale", "True", "SucceededRescale") or status["desiredReplicas"] == 2
