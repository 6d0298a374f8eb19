"""namespace-controller: empties a namespace that is being deleted, then lets it go.

Reads: namespaces, discovery, everything in a terminating namespace. Writes: deletes all of it, namespaces/status
(why it is not empty yet), namespaces/finalize.
"""

from __future__ import annotations

from collections.abc import Iterable

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.client import discoveries
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import namespaces
from keelson.kube_controller_manager.decisions.namespaces import Round

FINALIZER = "kubernetes"
_LOOK_AGAIN = 2.0


class NamespaceController:
    """One reconcile per terminating namespace; repeated until nothing is left in it."""

    name = "namespace-controller"
    account = "namespace-controller"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = WorkQueue("namespace")
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
        met = Round()
        found, met.failed_groups = await discoveries.resources(self._client)
        deletable = [one for one in found if one.namespaced and "list" in one.verbs and "delete" in one.verbs]
        # Pods end while all that they use is still there: no policy, token or volume vanishes under a running one
        # (KEP-5080, ordered namespace deletion). What owns them can make none anew in a terminating namespace.
        await self._empty([one for one in deletable if one.qualified == "pods"], key, met)
        if "pods" not in met.remaining:
            await self._empty([one for one in deletable if one.qualified != "pods"], key, met)
        if not met.is_last or meta.conditions(namespace):
            namespace = await self._explain(namespace, met)
        if not met.is_last:
            return _LOOK_AGAIN
        kept = [name for name in namespace["spec"]["finalizers"] if name != FINALIZER]
        final = {**namespace, "spec": {**namespace["spec"], "finalizers": kept}}
        await self._client.update("namespaces", final, subresource="finalize")
        return None

    async def _empty(self, resources: Iterable[Resource], namespace: str, met: Round) -> None:
        for resource in resources:
            try:
                items = await self._items(resource, namespace)
                if not items:
                    continue
                await self._delete(resource, namespace, items)
                left = await self._items(resource, namespace)
            except errors.StatusError as error:
                # What else there is goes all the same.
                met.errors.append(error.message)
                continue
            if not left:
                continue
            met.remaining[resource.qualified] = len(left)
            held = [name for item in left for name in meta.metadata(item).get("finalizers") or []]
            for name in held:
                met.finalizers[name] = met.finalizers.get(name, 0) + 1
            if not held and resource.qualified != "pods":
                met.errors.append(
                    f"unexpected items still remain in namespace: {namespace} for gvr: {resource.group}/"
                    f"{resource.version}, Resource={resource.plural}"
                )

    async def _delete(self, resource: Resource, namespace: str, items: Iterable[Object]) -> None:
        if "deletecollection" in resource.verbs:
            await self._client.delete_collection(resource, namespace=namespace, propagation_policy="Background")
            return
        for item in items:
            try:
                await self._client.delete(
                    resource, meta.name(item), namespace=namespace, propagation_policy="Background"
                )
            except errors.StatusError as error:
                if error.code != 404:
                    raise

    async def _items(self, resource: Resource, namespace: str) -> list[Object]:
        try:
            answer = await self._client.list(resource, namespace=namespace)
        except errors.StatusError as error:
            if error.code in {404, 405}:
                # The resource itself went away, with all its objects.
                return []
            raise
        return answer.get("items") or []

    async def _explain(self, namespace: Object, met: Round) -> Object:
        status = namespace.get("status") or {}
        conditions = namespaces.conditions(meta.conditions(namespace), met, self._context.now())
        told = {**status, "phase": "Terminating", "conditions": conditions}
        if told == status:
            return namespace
        return await self._client.update_status("namespaces", {**namespace, "status": told})
