"""The pods behind Services, for the controllers that write down who they are.

A Service is queued when it changes, and when a pod does that its selector chooses or chose.
"""

from __future__ import annotations

from keelson.api import meta, selectors
from keelson.api.meta import Object
from keelson.client.work_queues import WorkQueue

from .contexts import Context

_BY_NAMESPACE = "namespace"
_PODS_BY_NAMESPACE = "all-of-namespace"


class ServicePods:
    """Services, their pods, and the queue of keys of services whose pods may be others now."""

    def __init__(self, context: Context, queue: WorkQueue) -> None:
        self._queue = queue
        self._services = context.informers.informer("services")
        self._services.store.add_index(_BY_NAMESPACE, lambda obj: [meta.namespace(obj)])
        self._services.add_handler(lambda old, new: self._queue.add(meta.key(new or old or {})))
        self._pods = context.informers.informer("pods")
        self._pods.store.add_index(_PODS_BY_NAMESPACE, lambda obj: [meta.namespace(obj)])
        self._pods.add_handler(self._pod_changed)

    def service(self, key: str) -> Object | None:
        """The Service of this key."""
        return self._services.store.get(key)

    def of(self, service: Object) -> list[Object]:
        """The pods that the Service's selector chooses; it must have one."""
        wanted = selectors.from_label_selector({"matchLabels": service["spec"]["selector"]})
        pods = self._pods.store.by_index(_PODS_BY_NAMESPACE, meta.namespace(service))
        return [pod for pod in pods if wanted.matches(meta.labels(pod))]

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for service in self._services.store.by_index(_BY_NAMESPACE, meta.namespace(new or old or {})):
            selector = service["spec"].get("selector")
            if not selector:
                continue
            wanted = selectors.from_label_selector({"matchLabels": selector})
            if any(obj is not None and wanted.matches(meta.labels(obj)) for obj in (old, new)):
                self._queue.add(meta.key(service))


def is_followed(service: Object) -> bool:
    """Whether the Service's pods are to be written down: it has a selector, is no mere name and does not go away."""
    spec = service["spec"]
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName" and not meta.is_deleting(service)
