"""disruption-controller: what each PodDisruptionBudget allows now.

Reads: poddisruptionbudgets.policy, pods, and the scale of what controls them. Writes: poddisruptionbudgets/status,
pods/status (announced disruptions that did not come), events.
"""

from __future__ import annotations

import asyncio

from keelson.api import errors, meta, resources, selectors
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.client import discoveries
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import disruption_budgets
from keelson.kube_controller_manager.decisions.disruption_budgets import UncountableError

RESOURCE = "poddisruptionbudgets.policy"
_SCALED = ("replicationcontrollers", "replicasets.apps", "statefulsets.apps", "deployments.apps")
_BY_NAMESPACE = "all-of-namespace"


class DisruptionController:
    """One reconcile per budget; a pod, and what controls pods, queue the budgets of their namespace."""

    name = "disruption-controller"
    account = "disruption-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._recorder = context.recorder("controllermanager")
        self._queue = WorkQueue("disruption")
        self._stale = WorkQueue("stale_pod_disruption")
        self._budgets = context.informers.informer(RESOURCE)
        self._budgets.store.add_index(_BY_NAMESPACE, lambda obj: [meta.namespace(obj)])
        self._budgets.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._pods = context.informers.informer("pods")
        self._pods.store.add_index(_BY_NAMESPACE, lambda obj: [meta.namespace(obj)])
        self._pods.add_handler(self._pod_changed)
        self._scaled = {name: context.informers.informer(name) for name in _SCALED}
        for informer in self._scaled.values():
            informer.add_handler(self._scale_changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(work(self.name, self._queue, self._reconcile, workers=2))
            group.create_task(work(f"{self.name} (announced disruptions)", self._stale, self._take_back))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for budget in self._budgets.store.by_index(_BY_NAMESPACE, meta.namespace(new or old or {})):
            if any(obj is not None and _selects(budget, obj) for obj in (old, new)):
                self._queue.add(meta.key(budget))
        if new is not None and disruption_budgets.stale_condition(new, self._context.now()) is not None:
            self._stale.add(meta.key(new))

    def _scale_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and old["spec"].get("replicas") == new["spec"].get("replicas"):
            return
        for budget in self._budgets.store.by_index(_BY_NAMESPACE, meta.namespace(new or old or {})):
            if disruption_budgets.needs_scales(budget):
                self._queue.add(meta.key(budget))

    async def _reconcile(self, key: str) -> float | None:
        budget = self._budgets.store.get(key)
        if budget is None:
            return None
        pods = self._pods.store.by_index(_BY_NAMESPACE, meta.namespace(budget))
        selected = [pod for pod in pods if _selects(budget, pod)]
        now = self._context.now()
        if not selected:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        try:
            scales = await self._scales(budget, selected) if disruption_budgets.needs_scales(budget) else {}
        except UncountableError as error:
            why = f"Failed to calculate the number of expected pods: {error}"
            self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", why)
            await self._write(budget, disruption_budgets.failed(budget, str(error), now))
            return None
        found = disruption_budgets.outlook(budget, selected, scales, now)
        await self._write(budget, found.status)
        return found.look_again

    async def _write(self, budget: Object, status: Object) -> None:
        if status != budget.get("status"):
            # The version goes along: an eviction that spent meanwhile makes this fail, and be computed anew.
            await self._client.update_status(RESOURCE, {**budget, "status": status})

    async def _scales(self, budget: Object, selected: list[Object]) -> dict[str, int]:
        scales: dict[str, int] = {}
        unmanaged = False
        for pod in selected:
            owner = meta.controller_of(pod)
            if owner is None:
                unmanaged = True
            elif owner["uid"] not in scales:
                found = await self._scale(owner, meta.namespace(pod))
                if found is None:
                    raise UncountableError(f'found no controllers for pod "{meta.name(pod)}"')
                scales[found[0]] = found[1]
        if unmanaged:
            why = (
                "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the "
                "PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods "
                'please set ".spec.minAvailable" field of the PDB to an integer value.'
            )
            self._recorder.event(budget, "Warning", "UnmanagedPods", why)
        return scales

    async def _scale(self, owner: Object, namespace: str) -> tuple[str, int] | None:
        """(UID, replicas) of what wants the pods: a ReplicaSet's Deployment rather than itself."""
        resource = resources.of_kind(str(owner["apiVersion"]), str(owner["kind"]))
        if resource is None or resource.qualified not in self._scaled:
            return await self._custom_scale(owner, namespace, resource)
        found = self._scaled[resource.qualified].store.get(meta.key_of(namespace, owner["name"]))
        if found is None or meta.uid(found) != owner["uid"]:
            return None
        above = meta.controller_of(found)
        if above is not None and above["kind"] == "Deployment":
            return await self._scale(above, namespace) or (meta.uid(found), _replicas(found))
        return meta.uid(found), _replicas(found)

    async def _custom_scale(self, owner: Object, namespace: str, resource: Resource | None) -> tuple[str, int] | None:
        group = str(owner["apiVersion"]).rpartition("/")[0]
        if resource is None:
            served, _ = await discoveries.resources(self._client)
            resource = next((one for one in served if (one.group, one.kind) == (group, owner["kind"])), None)
        if resource is None:
            return None
        try:
            scale = await self._client.get(resource, owner["name"], namespace=namespace, subresource="scale")
        except errors.StatusError as error:
            if error.code == 404:
                name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
                raise UncountableError(f"{name} does not implement the scale subresource") from error
            raise
        if meta.uid(scale) != owner["uid"]:
            return None
        return meta.uid(scale), int((scale.get("spec") or {}).get("replicas") or 0)

    async def _take_back(self, key: str) -> float | None:
        pod = self._pods.store.get(key)
        now = self._context.now()
        wait = disruption_budgets.stale_condition(pod, now) if pod is not None else None
        if pod is None or wait is None:
            return None
        if wait > 0:
            return wait
        conditions = meta.with_condition(meta.conditions(pod), type_="DisruptionTarget", status="False", now=now)
        status = {**pod["status"], "conditions": conditions}
        await self._client.update_status("pods", {**pod, "status": status})
        return None


def _replicas(obj: Object) -> int:
    return int(obj["spec"].get("replicas", 1))


def _selects(budget: Object, pod: Object) -> bool:
    return selectors.from_label_selector((budget.get("spec") or {}).get("selector")).matches(meta.labels(pod))
