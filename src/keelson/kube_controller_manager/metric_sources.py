"""The metrics that autoscalers go by: read from the metrics APIs, and turned into numbers of replicas.

metrics.k8s.io has the usage of pods, custom.metrics.k8s.io what pods and other objects say of themselves,
external.metrics.k8s.io what comes from outside of the cluster. Who serves them is not known here; where nobody does,
the error says which one is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from keelson.api import errors, meta, quantities, resources
from keelson.api.meta import Object
from keelson.client import discoveries
from keelson.component_base import durations

from .contexts import Context
from .decisions import replica_targets
from .decisions.replica_targets import Patience, Sample, Target, Tolerance, UncomputableError

_WINDOW = 60.0


class MetricError(Exception):
    """A metric gave no number; `reason` is the condition's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MetricSource:
    """One metric of an autoscaler: where its values come from and what they ask for."""

    def __init__(
        self, context: Context, autoscaler: Object, metric: Object, selector: str, selected: list[Object]
    ) -> None:
        self._client = context.client
        self._now = context.now()
        self._namespace = meta.namespace(autoscaler)
        self._metric = metric
        self._selector = selector
        self._selected = selected
        settings = context.settings
        behavior = autoscaler["spec"].get("behavior") or {}
        self._tolerance = Tolerance(
            *(
                _share((behavior.get(rules) or {}).get("tolerance"), settings.horizontal_pod_autoscaler_tolerance)
                for rules in ("scaleUp", "scaleDown")
            )
        )
        self._patience = Patience(
            settings.horizontal_pod_autoscaler_cpu_initialization_period,
            settings.horizontal_pod_autoscaler_initial_readiness_delay,
        )

    async def target(self, current: int, present: int) -> tuple[Target, Object, str]:
        """(how many replicas, the metric's state, its name in events). Raises MetricError."""
        kind = str(self._metric["type"])
        field = kind[0].lower() + kind[1:]
        source = self._metric[field]
        reasons = {"Resource": "Resource", "ContainerResource": "ContainerResource", "Pods": "Pods"}
        reason = f"FailedGet{reasons.get(kind, kind)}Metric"
        try:
            if kind in ("Resource", "ContainerResource"):
                target, state, name = await self._resource(source, current)
                identity = {key: source[key] for key in ("name", "container") if key in source}
            else:
                target, state, name = await self._other(kind, source, current, present)
                identity = {"metric": source["metric"]}
                if kind == "Object":
                    identity["describedObject"] = source["describedObject"]
        except (UncomputableError, errors.StatusError) as error:
            what = {"Pods": "pods metric", "Object": "object metric"}.get(kind, "")
            what = what or f"{source.get('name') or source['metric']['name']} {field.lower()} metric"
            why = error.message if isinstance(error, errors.StatusError) else str(error)
            raise MetricError(reason, f"failed to get {what} value: {why}") from error
        return target, {"type": kind, field: {**identity, "current": state}}, name

    async def _resource(self, source: Object, current: int) -> tuple[Target, Object, str]:
        name, container = str(source["name"]), str(source.get("container") or "")
        wanted = source["target"]
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{self._namespace}/pods"
        items = await self._items(path, "resource metrics API", labelSelector=self._selector)
        samples = _usage(items, name, container)
        form = quantities.BINARY if name == "memory" else quantities.DECIMAL

        def shown(usage: int) -> str:
            return quantities.format(quantities.parse(f"{usage}m"), form)

        if wanted.get("averageValue") is not None:
            target = replica_targets.by_average(
                current,
                quantities.milli(wanted["averageValue"]),
                self._selected,
                samples,
                resource=name,
                tolerance=self._tolerance,
                patience=self._patience,
                now=self._now,
            )
            return target, {"averageValue": shown(target.usage)}, f"{name} resource"
        if wanted.get("averageUtilization") is None:
            why = "invalid resource metric source: neither an average utilization target nor an average value (usage) "
            raise UncomputableError(f"{why}target was set")
        target = replica_targets.by_utilization(
            current,
            int(wanted["averageUtilization"]),
            self._selected,
            samples,
            resource=name,
            container=container,
            tolerance=self._tolerance,
            patience=self._patience,
            now=self._now,
        )
        state = {"averageUtilization": target.utilization, "averageValue": shown(target.usage)}
        what = "container resource" if container else "resource"
        return target, state, f"{name} {what} utilization (percentage of request)"

    async def _other(self, kind: str, source: Object, current: int, present: int) -> tuple[Target, Object, str]:
        metric, wanted = source["metric"], source["target"]
        selector = _selector_text(metric.get("selector"))
        name = str(metric["name"])
        if kind == "Pods":
            samples = await self._of_pods(name, selector)
            target = replica_targets.by_average(
                current,
                quantities.milli(wanted["averageValue"]),
                self._selected,
                samples,
                tolerance=self._tolerance,
                patience=self._patience,
                now=self._now,
            )
            return target, {"averageValue": _milli(target.usage)}, f"pods metric {name}"
        if kind == "Object":
            value = await self._of_object(source["describedObject"], name, selector)
            told = f"{source['describedObject']['kind']} metric {name}"
        else:
            path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{self._namespace}/{quote(name)}"
            items = await self._items(path, "external metrics API", labelSelector=selector)
            value = sum(quantities.milli(item["value"]) for item in items)
            told = f"external metric {name}"
        if wanted.get("averageValue") is not None:
            amount = quantities.milli(wanted["averageValue"])
            target = replica_targets.by_share(present, amount, value, tolerance=self._tolerance)
            return target, {"averageValue": _milli(target.usage)}, told
        if wanted.get("value") is None:
            word = kind.lower()
            why = f"invalid {word} metric source: neither a value target nor an average value target was set"
            raise UncomputableError(why)
        amount = quantities.milli(wanted["value"])
        target = replica_targets.by_value(current, amount, value, self._selected, tolerance=self._tolerance)
        return target, {"value": _milli(target.usage)}, told

    async def _of_pods(self, name: str, selector: str) -> dict[str, Sample]:
        query = {"labelSelector": self._selector, "metricLabelSelector": selector}
        items = await self._custom(f"namespaces/{self._namespace}/pods/*/{quote(name)}", query)
        return {
            item["describedObject"]["name"]: Sample(
                quantities.milli(item["value"]),
                meta.parse_time(item["timestamp"]),
                float(item.get("windowSeconds") or _WINDOW),
            )
            for item in items
        }

    async def _of_object(self, described: Object, name: str, selector: str) -> int:
        version, kind = str(described.get("apiVersion") or "v1"), str(described["kind"])
        found = resources.of_kind(version, kind)
        if found is None:
            served, _ = await discoveries.resources(self._client)
            group = version.rpartition("/")[0]
            found = next((one for one in served if (one.group, one.kind) == (group, kind)), None)
        if found is None:
            raise UncomputableError(f'no matches for kind "{kind}" in version "{version}"')
        path = f"namespaces/{self._namespace}/{found.qualified}/{described['name']}/{quote(name)}"
        if kind == "Namespace":
            # An autoscaler sees no namespace but its own.
            path = f"namespaces/{self._namespace}/metrics/{quote(name)}"
        items = await self._custom(path, {"metricLabelSelector": selector})
        return quantities.milli(items[0]["value"])

    async def _custom(self, path: str, query: Mapping[str, str]) -> list[Object]:
        try:
            return await self._items(f"/apis/custom.metrics.k8s.io/v1beta2/{path}", "custom metrics API", **query)
        except errors.StatusError as error:
            if error.code != 404:
                raise
        return await self._items(f"/apis/custom.metrics.k8s.io/v1beta1/{path}", "custom metrics API", **query)

    async def _items(self, path: str, api: str, **query: str) -> list[Object]:
        stated = {name: value for name, value in query.items() if value}
        try:
            answer = json.loads(await self._client.request("GET", path, query=stated))
        except errors.StatusError as error:
            why = f"unable to fetch metrics from {api}: {error.message}"
            raise errors.StatusError(error.code, error.reason, why) from error
        items: list[Object] = answer.get("items") or []
        if not items:
            raise UncomputableError(f"no metrics returned from {api}")
        return items


def _usage(items: list[Object], resource: str, container: str) -> dict[str, Sample]:
    """The pods' usage, of one container where it is named; a pod that lacks a number lacks a sample."""
    result = {}
    for item in items:
        found = item.get("containers") or []
        if container:
            found = [each for each in found if each.get("name") == container]
        values = [(each.get("usage") or {}).get(resource) for each in found]
        if values and all(value is not None for value in values):
            window = durations.parse(item["window"]) if item.get("window") else _WINDOW
            total = sum(quantities.milli(value) for value in values if value is not None)
            result[meta.name(item)] = Sample(total, meta.parse_time(item["timestamp"]), window)
    return result


def _milli(amount: int) -> str:
    return quantities.canonical(f"{amount}m")


def _share(stated: Any, default: float) -> float:
    return float(quantities.parse(stated)) if stated is not None else default


def _selector_text(stated: Object | None) -> str:
    """A label selector as a query states it."""
    if not stated:
        return ""
    parts = [f"{key}={value}" for key, value in (stated.get("matchLabels") or {}).items()]
    for each in stated.get("matchExpressions") or ():
        key, values = each["key"], ",".join(each.get("values") or ())
        match each["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
    return ",".join(parts)
