"""What containers and pods have used: /metrics/resource (Prometheus' text) and /stats/summary (the older JSON).

Names and units are those of the resource metrics endpoint (KEP-2371 and the metrics reference).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kubelet.decisions import observations
from keelson.kubelet.relists import Relister
from keelson.kubelet.runtimes.ports import Usage


def _labels(usage: Usage) -> tuple[str, str, str, str] | None:
    """(namespace, pod, uid, container), None where the container is not ours."""
    found = usage.labels
    if observations.POD_UID not in found:
        return None
    return (
        found.get(observations.POD_NAMESPACE, ""),
        found.get(observations.POD_NAME, ""),
        found[observations.POD_UID],
        found.get(observations.CONTAINER_NAME, ""),
    )


def exposition(usages: Iterable[Usage], relister: Relister, now: datetime) -> bytes:
    """The text of /metrics/resource."""
    stamp = int(now.timestamp() * 1000)
    cpu: list[str] = []
    memory: list[str] = []
    started: list[str] = []
    pods: dict[tuple[str, str], list[int]] = {}
    for usage in usages:
        where = _labels(usage)
        if where is None or usage.cpu_nanoseconds is None or usage.working_set_bytes is None:
            continue
        namespace, pod, _uid, container = where
        text = f'{{container="{container}",namespace="{namespace}",pod="{pod}"}}'
        cpu.append(f"container_cpu_usage_seconds_total{text} {usage.cpu_nanoseconds / 1e9:.9g} {stamp}")
        memory.append(f"container_memory_working_set_bytes{text} {usage.working_set_bytes} {stamp}")
        seen = relister.container(usage.container_id)
        if seen is not None and seen[1].started_at is not None:
            started.append(f"container_start_time_seconds{text} {seen[1].started_at.timestamp():.9g}")
        total = pods.setdefault((namespace, pod), [0, 0])
        total[0] += usage.cpu_nanoseconds
        total[1] += usage.working_set_bytes
    pod_cpu, pod_memory = [], []
    for (namespace, pod), (nanoseconds, size) in pods.items():
        text = f'{{namespace="{namespace}",pod="{pod}"}}'
        pod_cpu.append(f"pod_cpu_usage_seconds_total{text} {nanoseconds / 1e9:.9g} {stamp}")
        pod_memory.append(f"pod_memory_working_set_bytes{text} {size} {stamp}")
    lines: list[str] = []
    for name, kind, samples in (
        ("container_cpu_usage_seconds_total", "counter", cpu),
        ("container_memory_working_set_bytes", "gauge", memory),
        ("container_start_time_seconds", "gauge", started),
        ("pod_cpu_usage_seconds_total", "counter", pod_cpu),
        ("pod_memory_working_set_bytes", "gauge", pod_memory),
    ):
        lines += [f"# TYPE {name} {kind}", *samples]
    lines += ["# TYPE resource_scrape_error gauge", "resource_scrape_error 0", ""]
    return "\n".join(lines).encode()


def summary(usages: Iterable[Usage], relister: Relister, now: datetime) -> Object:
    """The object of /stats/summary, as far as the runtime tells."""
    stamp = meta.format_time(now)
    pods: dict[str, Object] = {}
    for usage in usages:
        where = _labels(usage)
        if where is None:
            continue
        namespace, name, uid, container = where
        pod = pods.setdefault(
            uid,
            {"podRef": {"name": name, "namespace": namespace, "uid": uid}, "startTime": stamp, "containers": []},
        )
        entry: Object = {"name": container, "startTime": stamp}
        seen = relister.container(usage.container_id)
        if seen is not None and seen[1].started_at is not None:
            entry["startTime"] = meta.format_time(seen[1].started_at)
        if usage.cpu_nanoseconds is not None:
            entry["cpu"] = {"time": stamp, "usageCoreNanoSeconds": usage.cpu_nanoseconds}
        if usage.working_set_bytes is not None:
            entry["memory"] = {"time": stamp, "workingSetBytes": usage.working_set_bytes}
        pod["containers"].append(entry)
    return {"node": {"nodeName": "", "startTime": stamp}, "pods": list(pods.values())}
