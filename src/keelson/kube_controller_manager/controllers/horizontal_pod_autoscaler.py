"""horizontal-pod-autoscaler-controller: as many replicas as the load asks for.

Reads: horizontalpodautoscalers.autoscaling, pods, the scale of their targets, and the metrics APIs (metrics.k8s.io,
custom.metrics.k8s.io, external.metrics.k8s.io; where nobody serves one, the autoscaler's condition ScalingActive says
so). Writes: scales, horizontalpodautoscalers/status, events.
"""

from __future__ import annotations

from typing import Any

from keelson.api import errors, meta, resources, selectors
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.client import discoveries
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import scaling_rules
from keelson.kube_controller_manager.decisions.replica_targets import UncomputableError
from keelson.kube_controller_manager.decisions.scaling_rules import History
from keelson.kube_controller_manager.metric_sources import MetricError, MetricSource

RESOURCE = "horizontalpodautoscalers.autoscaling"
_BY_NAMESPACE = "all-of-namespace"


class HorizontalPodAutoscalerController:
    """Every autoscaler once a sync period; what it recommended and did is remembered here, and lost with a restart."""

    name = "horizontal-pod-autoscaler-controller"
    account = "horizontal-pod-autoscaler"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._recorder = context.recorder("horizontal-pod-autoscaler")
        self._queue = WorkQueue("horizontalpodautoscaler")
        self._autoscalers = context.informers.informer(RESOURCE)
        self._autoscalers.add_handler(self._changed)
        self._pods = context.informers.informer("pods")
        self._pods.store.add_index(_BY_NAMESPACE, lambda obj: [meta.namespace(obj)])
        self._histories: dict[str, History] = {}

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._histories.pop(meta.key(old or {}), None)
        elif old is None:
            self._queue.add(meta.key(new))
        elif old["spec"] != new["spec"]:
            self._queue.add_after(meta.key(new), self._context.settings.horizontal_pod_autoscaler_sync_period)

    async def _reconcile(self, key: str) -> float | None:
        found = self._autoscalers.store.get(key)
        if found is None:
            return None
        turn = _Turn(self._context, self._recorder, self._pods.store.by_index(_BY_NAMESPACE, meta.namespace(found)))
        history = self._histories.setdefault(key, History())
        status = await turn.scaled(found, history)
        if status != (found.get("status") or {}):
            await self._client.update_status(RESOURCE, {**found, "status": status})
        return self._context.settings.horizontal_pod_autoscaler_sync_period


class _Turn:
    """One look at one autoscaler."""

    def __init__(self, context: Context, recorder: Any, pods: list[Object]) -> None:
        self._context = context
        self._client = context.client
        self._recorder = recorder
        self._pods = pods
        self._now = context.now()
        self._conditions: list[Object] = []

    def _condition(self, type_: str, holds: bool, reason: str, message: str) -> None:
        self._conditions = meta.with_condition(
            self._conditions, type_=type_, status=str(holds), reason=reason, message=message, now=self._now
        )

    async def scaled(self, autoscaler: Object, history: History) -> Object:
        """Scale the target where it must be; the autoscaler's status."""
        spec, old = autoscaler["spec"], autoscaler.get("status") or {}
        self._conditions = list(old.get("conditions") or ())
        status = {**old}
        try:
            resource, scale = await self._scale(autoscaler)
        except (errors.StatusError, UncomputableError) as error:
            why = error.message if isinstance(error, errors.StatusError) else str(error)
            self._recorder.event(autoscaler, "Warning", "FailedGetScale", why)
            told = f"the HPA controller was unable to get the target's current scale: {why}"
            self._condition("AbleToScale", False, "FailedGetScale", told)
            return {**status, "desiredReplicas": int(old.get("desiredReplicas") or 0), "conditions": self._conditions}
        told = "the HPA controller was able to get the target's current scale"
        self._condition("AbleToScale", True, "SucceededGetScale", told)
        current = int((scale.get("spec") or {}).get("replicas") or 0)
        if not history.recommended:
            history.recommended.append((self._now, current))
        metrics: list[Object] | None = None
        least, most = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
        desired, why = current, ""
        if not current:
            told = "scaling is disabled since the replica count of the target is zero"
            self._condition("ScalingActive", False, "ScalingDisabled", told)
        elif current > most:
            desired, why = most, "Current number of replicas above Spec.MaxReplicas"
        elif current < least:
            desired, why = least, "Current number of replicas below Spec.MinReplicas"
        else:
            wanted, metrics, metric = await self._wanted(autoscaler, scale, current)
            if wanted is None:
                status |= {"currentReplicas": current, "currentMetrics": metrics, "conditions": self._conditions}
                status["desiredReplicas"] = int(old.get("desiredReplicas") or 0)
                return status
            why = f"{metric} above target" if wanted > current else "All metrics below target"
            desired = self._limited(spec, current, wanted, history)
        if desired != current:
            status["lastScaleTime"] = meta.format_time(self._now)
            if not await self._rescale(autoscaler, resource, scale, desired, why):
                desired = current
                status.pop("lastScaleTime")
                if "lastScaleTime" in old:
                    status["lastScaleTime"] = old["lastScaleTime"]
            else:
                scaling_rules.changed(spec, history, desired - current, self._now)
        status |= {"currentReplicas": current, "desiredReplicas": desired, "conditions": self._conditions}
        status["currentMetrics"] = metrics
        status["observedGeneration"] = int(meta.metadata(autoscaler).get("generation") or 0)
        return {name: value for name, value in status.items() if value is not None}

    def _limited(self, spec: Object, current: int, wanted: int, history: History) -> int:
        window = self._context.settings.horizontal_pod_autoscaler_downscale_stabilization
        verdict = scaling_rules.decided(spec, current, wanted, history, self._now, window=window)
        self._condition("AbleToScale", True, *verdict.able)
        self._condition("ScalingLimited", verdict.limited, *verdict.limit)
        return verdict.replicas

    async def _scale(self, autoscaler: Object) -> tuple[Resource, Object]:
        reference = autoscaler["spec"]["scaleTargetRef"]
        version, kind = str(reference.get("apiVersion") or "v1"), str(reference["kind"])
        resource = resources.of_kind(version, kind)
        if resource is None:
            served, _ = await discoveries.resources(self._client)
            group = version.rpartition("/")[0]
            resource = next((one for one in served if (one.group, one.kind) == (group, kind)), None)
        if resource is None:
            raise UncomputableError(f'no matches for kind "{kind}" in group "{version.rpartition("/")[0]}"')
        namespace = meta.namespace(autoscaler)
        return resource, await self._client.get(resource, reference["name"], namespace=namespace, subresource="scale")

    async def _rescale(self, autoscaler: Object, resource: Resource, scale: Object, size: int, why: str) -> bool:
        try:
            await self._client.update(resource, {**scale, "spec": {"replicas": size}}, subresource="scale")
        except errors.StatusError as error:
            told = f"New size: {size}; reason: {why}; error: {error.message}"
            self._recorder.event(autoscaler, "Warning", "FailedRescale", told)
            told = f"the HPA controller was unable to update the target scale: {error.message}"
            self._condition("AbleToScale", False, "FailedUpdateScale", told)
            return False
        told = f"the HPA controller was able to update the target scale to {size}"
        self._condition("AbleToScale", True, "SucceededRescale", told)
        self._recorder.event(autoscaler, "Normal", "SuccessfulRescale", f"New size: {size}; reason: {why}")
        return True

    async def _wanted(
        self, autoscaler: Object, scale: Object, current: int
    ) -> tuple[int | None, list[Object] | None, str]:
        """(the most that a metric asks for, None where none can be trusted; the metrics' state; which metric it is)."""
        stated = str((scale.get("status") or {}).get("selector") or "")
        if not stated:
            self._recorder.event(autoscaler, "Warning", "SelectorRequired", "selector is required")
            self._condition("ScalingActive", False, "InvalidSelector", "the HPA target's scale is missing a selector")
            return None, None, ""
        selector = selectors.parse(stated)
        selected = [pod for pod in self._pods if selector.matches(meta.labels(pod))]
        best, chosen, states = None, "", []
        failed: list[MetricError] = []
        for metric in autoscaler["spec"].get("metrics") or ():
            source = MetricSource(self._context, autoscaler, metric, stated, selected)
            try:
                target, state, name = await source.target(
                    current, int((scale.get("status") or {}).get("replicas") or 0)
                )
            except MetricError as error:
                failed.append(error)
                self._recorder.event(autoscaler, "Warning", error.reason, str(error))
                continue
            states.append(state)
            if best is None or target.replicas > best:
                best, chosen = target.replicas, name
        total = len(autoscaler["spec"].get("metrics") or ())
        if failed and (best is None or best < current):
            told = f"the HPA was unable to compute the replica count: {failed[0]}"
            self._condition("ScalingActive", False, failed[0].reason, told)
            told = f"invalid metrics ({len(failed)} invalid out of {total}), first error is: {failed[0]}"
            self._recorder.event(autoscaler, "Warning", "FailedComputeMetricsReplicas", told)
            return None, states or None, ""
        told = f"the HPA was able to successfully calculate a replica count from {chosen}"
        self._condition("ScalingActive", True, "ValidMetricFound", told)
        return best, states, chosen
