"""root-ca-certificate-publisher-controller: `kube-root-ca.crt` in every namespace, for pods to trust the API server.

Reads: namespaces, configmaps of that name. Writes: configmaps. (KEP-1205.)
"""

from __future__ import annotations

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context

CONFIG_MAP = "kube-root-ca.crt"
_DESCRIPTION = "The CA bundle of the cluster's API server, for clients inside the cluster; kept by the control plane."


class RootCaPublisher:
    """One reconcile per namespace; an edited or deleted copy is restored."""

    name = "root-ca-certificate-publisher-controller"
    account = "root-ca-cert-publisher"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._data = {"ca.crt": context.settings.root_ca}
        self._queue = WorkQueue("root_ca_cert_publisher")
        self._namespaces = context.informers.informer("namespaces")
        self._maps = context.informers.informer("configmaps", field_selector=f"metadata.name={CONFIG_MAP}")
        self._namespaces.add_handler(lambda old, new: self._queue.add(meta.name(new or old or {})))
        self._maps.add_handler(lambda old, new: self._queue.add(meta.namespace(new or old or {})))

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    async def _reconcile(self, name: str) -> float | None:
        namespace = self._namespaces.store.get(name)
        if namespace is None or meta.is_deleting(namespace):
            return None
        found = self._maps.store.get(f"{name}/{CONFIG_MAP}")
        if found is not None and found.get("data") == self._data:
            return None
        fresh: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": CONFIG_MAP,
                "namespace": name,
                "annotations": {"kubernetes.io/description": _DESCRIPTION},
            },
            "data": self._data,
        }
        try:
            if found is None:
                await self._client.create("configmaps", fresh)
            else:
                await self._client.update("configmaps", {**found, "data": self._data})
        except errors.StatusError as error:
            if error.reason != "AlreadyExists" and error.code not in {403, 404}:
                raise
        return None
