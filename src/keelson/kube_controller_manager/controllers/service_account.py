"""serviceaccount-controller: every namespace has its `default` service account.

Reads: namespaces, serviceaccounts. Writes: serviceaccounts.
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context


class ServiceAccountController:
    """One reconcile per namespace."""

    name = "serviceaccount-controller"
    account = "service-account-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("serviceaccount")
        self._namespaces = context.informers.informer("namespaces")
        self._accounts = context.informers.informer("serviceaccounts")
        self._namespaces.add_handler(lambda old, new: self._queue.add(meta.name(new or old or {})))
        self._accounts.add_handler(self._account_changed)

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None and meta.name(old) == "default":
            self._queue.add(meta.namespace(old))

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    async def _reconcile(self, name: str) -> float | None:
        namespace = self._namespaces.store.get(name)
        if namespace is None or meta.is_deleting(namespace) or self._accounts.store.get(f"{name}/default"):
            return None
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": name},
        }
        try:
            await self._client.create("serviceaccounts", account)
        except errors.StatusError as error:
            # Made by another meanwhile, or the namespace began to end.
            if error.reason != "AlreadyExists" and error.code not in {403, 404}:
                raise
        return None
