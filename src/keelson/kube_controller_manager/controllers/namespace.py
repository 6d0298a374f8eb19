"""namespace-controller: empties a namespace that is being deleted, then lets it go.

Reads: namespaces, discovery, everything in a terminating namespace. Writes: deletes all of it, namespaces/status
(why it is not empty yet), namespaces/finalize.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.client import discoveries
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

FINALIZER = "kubernetes"
_LOOK_AGAIN = 2.0


class NamespaceController:
    """One reconcile per terminating namespace; repeated until nothing is left in it."""

    name = "namespace-controller"
    account = "namespace-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = WorkQueue()
        self._namespaces = context.informers.informer("namespaces")
        self._namespaces.add_handler(self._changed)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=5)

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and meta.is_deleting(new):
            self._queue.add(meta.key(new))

    async def _reconcile(self, key: str) -> float | None:
        namespace = self._namespaces.store.get(key)
        if namespace is None or not meta.is_deleting(namespace):
            return None
        if FINALIZER not in (namespace.get("spec") or {}).get("finalizers", []):
            return None
        found, failed = await discoveries.resources(self._client)
        remaining: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        # Pods last: what owns them goes first, so that nothing makes them anew.
        for resource in sorted(found, key=lambda one: one.plural == "pods"):
            if resource.namespaced and "list" in resource.verbs and "delete" in resource.verbs:
                await self._empty(resource, key, remaining, finalizers)
        if remaining or failed:
            await self._explain(namespace, remaining, finalizers, failed)
            return _LOOK_AGAIN
        kept = [name for name in namespace["spec"]["finalizers"] if name != FINALIZER]
        final = {**namespace, "spec": {**namespace["spec"], "finalizers": kept}}
        await self._client.update("namespaces", final, subresource="finalize")
        return None

    async def _empty(
        self, resource: Resource, namespace: str, remaining: dict[str, int], finalizers: dict[str, int]
    ) -> None:
        items = await self._items(resource, namespace)
        if not items:
            return
        if "deletecollection" in resource.verbs:
            await self._client.delete_collection(resource, namespace=namespace)
        else:
            for item in items:
                try:
                    await self._client.delete(resource, meta.name(item), namespace=namespace)
                except errors.StatusError as error:
                    if error.code != 404:
                        raise
        left = await self._items(resource, namespace)
        if left:
            remaining[resource.qualified] = len(left)
        for item in left:
            for name in meta.metadata(item).get("finalizers") or []:
                finalizers[name] = finalizers.get(name, 0) + 1

    async def _items(self, resource: Resource, namespace: str) -> list[Object]:
        try:
            answer = await self._client.list(resource, namespace=namespace)
        except errors.StatusError as error:
            if error.code in {404, 405}:
                # The resource itself went away, with all its objects.
                return []
            raise
        return answer.get("items") or []

    async def _explain(
        self, namespace: Object, remaining: dict[str, int], finalizers: dict[str, int], failed: list[str]
    ) -> None:
        now = self._context.now()
        conditions = meta.conditions(namespace)

        def tell(type_: str, bad: bool, reason: str, message: str, well: tuple[str, str]) -> list[Object]:
            return meta.with_condition(
                conditions,
                type_=type_,
                status="True" if bad else "False",
                reason=reason if bad else well[0],
                message=message if bad else well[1],
                now=now,
            )

        conditions = tell(
            "NamespaceDeletionDiscoveryFailure",
            bool(failed),
            "DiscoveryFailed",
            f"Discovery failed for some groups: {', '.join(failed)}",
            ("ResourcesDiscovered", "All resources successfully discovered"),
        )
        counts = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remaining.items()))
        conditions = tell(
            "NamespaceContentRemaining",
            bool(remaining),
            "SomeResourcesRemain",
            f"Some resources are remaining: {counts}",
            ("ContentRemoved", "All content successfully removed"),
        )
        holders = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
        conditions = tell(
            "NamespaceFinalizersRemaining",
            bool(finalizers),
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {holders}",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        )
        status = {**(namespace.get("status") or {}), "phase": "Terminating", "conditions": conditions}
        if status != namespace.get("status"):
            try:
                await self._client.update_status("namespaces", {**namespace, "status": status})
            except errors.StatusError as error:
                if error.code not in {404, 409}:
                    raise
