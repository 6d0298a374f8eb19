"""Eviction: a deletion that a PodDisruptionBudget may refuse (policy/v1 Eviction, "API-initiated Eviction").

Reads the pod and the budgets that select it; lowers a budget's disruptionsAllowed by compare-and-swap before it
deletes, so that no two evictions spend the same disruption.
"""

from __future__ import annotations

import orjson

from keelson.api import errors, meta, selectors
from keelson.api.meta import Object
from keelson.api.schemas import Kind
from keelson.kube_apiserver.admission.chains import CREATE, Attributes
from keelson.kube_apiserver.caches.selections import Selection
from keelson.kube_apiserver.encodings.bodies import read
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.registry.deletions import Deletions
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.messages import Request, Response

from .verbs import only

_EVICTION = Kind("policy/v1", "Eviction")
# A budget that has this many pods to be disrupted soon is waited for, as upstream's limit is.
_MOST_DISRUPTED = 2000


class Evictions:
    """`pods/NAME/eviction`."""

    def __init__(self, catalogue: Catalogue, objects: Objects, deletions: Deletions) -> None:
        self._pods = catalogue.named("pods")
        self._budgets = catalogue.named("poddisruptionbudgets.policy")
        self._objects = objects
        self._deletions = deletions

    async def handle(self, context: Context, request: Request, served: Served) -> Response:
        """Evict. Raises StatusError 429 while a budget forbids it, 500 where several budgets select the pod."""
        only(context, "create")
        eviction = read(context, request, _EVICTION)
        namespace, name = context.info.namespace, context.info.name
        if meta.name(eviction) and meta.name(eviction) != name:
            raise errors.bad_request("name in URL does not match name in Eviction object")
        attributes = Attributes(context, CREATE, self._pods.resource, namespace, name, "eviction", object=eviction)
        await self._objects.admission.mutate(attributes)
        await self._objects.admission.validate(attributes)
        options = eviction.get("deleteOptions") or {}
        context.dry_run = context.dry_run or "All" in (options.get("dryRun") or [])
        pod = self._objects.object(self._pods, await self._objects.get(self._pods, namespace, name))
        if not _is_free(pod):
            budgets = await self._budgets_of(pod)
            if len(budgets) > 1:
                raise errors.StatusError(
                    500,
                    "InternalError",
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                )
            if budgets and not _may_be_lost(pod, budgets[0]):
                await self._spend(context, namespace, name, meta.name(budgets[0]))
                # The pod must still be the one for which the disruption was spent.
                options = {**options, "preconditions": {"uid": meta.uid(pod), **(options.get("preconditions") or {})}}
        if not context.dry_run:
            options = await self._mark(context, namespace, name, options)
        # What admission has to say of an eviction it has said; the deletion is its consequence.
        await self._deletions.delete(context, self._pods, namespace, name, options, admit=False)
        return Response(201, orjson.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))

    async def _mark(self, context: Context, namespace: str, name: str, options: Object) -> Object:
        """Tell in the pod's status why it ends (KEP-3329); returns the options for deleting what was so marked."""
        wanted = options.get("preconditions") or {}

        def change(pod: Object) -> Object:
            for field, what, has in (
                ("uid", "UID", meta.uid(pod)),
                ("resourceVersion", "ResourceVersion", meta.resource_version(pod)),
            ):
                if wanted.get(field) and wanted[field] != has:
                    why = (
                        f"the {what} in the precondition ({wanted[field]}) does not match the {what} in record ({has})"
                    )
                    raise errors.conflict("pods", name, why)
            status = pod.setdefault("status", {})
            status["conditions"] = meta.with_condition(
                meta.conditions(pod),
                type_="DisruptionTarget",
                status="True",
                reason="EvictionByEvictionAPI",
                message="Eviction API: evicting",
                now=context.now,
            )
            return pod

        item = await self._objects.update(
            context, self._pods, namespace, name, change, subresource="status", admit=False
        )
        if not wanted.get("resourceVersion"):
            return options
        return {**options, "preconditions": {**wanted, "resourceVersion": str(item.revision)}}

    async def _budgets_of(self, pod: Object) -> list[Object]:
        collection = await self._objects.fresh(self._budgets)
        items, _, _ = collection.select(Selection(meta.namespace(pod)))
        budgets = [self._objects.object(self._budgets, item) for item in items]
        labels = meta.labels(pod)
        return [
            each
            for each in budgets
            if selectors.from_label_selector((each.get("spec") or {}).get("selector")).matches(labels)
        ]

    async def _spend(self, context: Context, namespace: str, pod: str, budget: str) -> None:
        def change(obj: Object) -> Object:
            status = obj.setdefault("status", {})
            disrupted = dict(status.get("disruptedPods") or {})
            generation = meta.metadata(obj).get("generation") or 0
            if (status.get("observedGeneration") or 0) < generation:
                raise _refused(budget, status, "The disruption budget has not been processed by the controller yet.")
            allowed = status.get("disruptionsAllowed") or 0
            if allowed <= 0:
                raise _refused(budget, status, "")
            if len(disrupted) > _MOST_DISRUPTED:
                raise _refused(budget, status, "The disruption budget already has too many pods to be disrupted.")
            status["disruptionsAllowed"] = allowed - 1
            disrupted[pod] = meta.format_time(context.now)
            status["disruptedPods"] = disrupted
            return obj

        try:
            await self._objects.update(
                context, self._budgets, namespace, budget, change, subresource="status", admit=False
            )
        except errors.StatusError as error:
            # A budget that went away meanwhile forbids nothing.
            if error.code != 404:
                raise


def _is_free(pod: Object) -> bool:
    """Whether no budget counts the pod: it is over, was never started, or is on its way already."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed", "Pending") or meta.is_deleting(pod)


def _may_be_lost(pod: Object, budget: Object) -> bool:
    """Whether an unready pod may go without spending a disruption (unhealthyPodEvictionPolicy, KEP-3017)."""
    if meta.condition_is(pod, "Ready"):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    return (status.get("currentHealthy") or 0) >= (status.get("desiredHealthy") or 0) > 0


def _refused(budget: str, status: Object, why: str) -> errors.StatusError:
    message = why or (
        f"The disruption budget {budget} needs {status.get('desiredHealthy', 0)} healthy pods and has "
        f"{status.get('currentHealthy', 0)} currently"
    )
    return errors.StatusError(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        {"causes": [{"reason": "DisruptionBudget", "message": message}]},
    )
