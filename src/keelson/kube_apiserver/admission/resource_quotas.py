"""ResourceQuota: no namespace takes more than its quotas allow ("Resource Quotas").

Reads resource quotas; raises their status.used by compare-and-swap before the write that uses it, so that no two
writes spend the same amount, whichever server they came to. The writes of a namespace are judged in batches: while one
swap is on its way, those that come meanwhile share the next. What was charged for a write that then failed is given
back by the quota controller, which counts anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keelson.api import errors, meta, resource_lists
from keelson.api.meta import Object
from keelson.api.patches import managed_fields
from keelson.api.quotas import charges, evaluators
from keelson.api.quotas.evaluators import Evaluator, Write
from keelson.component_base.configurations import ConfigurationError, Fields
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.registry.objects import Stored, translated
from keelson.storage import errors as storage_errors

from .chains import CREATE, UPDATE, Attributes
from .configurations import Configurations
from .lookups import Lookups

_SECONDS = 10.0
_ATTEMPTS = 16
_MANAGER = "kube-apiserver"
_KIND = "ResourceQuotaConfiguration"
_API_VERSIONS = ("apiserver.config.k8s.io/v1", "resourcequota.admission.k8s.io/v1beta1")


def limited_from(configurations: Configurations) -> list[dict[str, Any]]:
    """What may be used only under a quota, by the plugin's configuration. Raises ConfigurationError."""
    document = configurations.of("ResourceQuota", kind=_KIND, api_versions=_API_VERSIONS)
    fields = Fields(_KIND, document)
    found: list[dict[str, Any]] = fields.get("limitedResources", list, [])
    fields.close()
    for index, each in enumerate(found):
        if not isinstance(each, dict) or not each.get("resource"):
            raise ConfigurationError(f"{_KIND}.limitedResources[{index}].resource: is required")
    return found


@dataclass(slots=True, eq=False)
class _Waiter:
    attributes: Attributes
    evaluator: Evaluator
    write: Write
    answer: asyncio.Future[None]

    def accept(self) -> None:
        if not self.answer.done():
            self.answer.set_result(None)

    def refuse(self, error: errors.StatusError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class ResourceQuota:
    """The plugin; the last of the chain, so that nothing is charged for what another refuses."""

    name = "ResourceQuota"

    def __init__(self, lookups: Lookups, limited: Sequence[Mapping[str, Any]] = ()) -> None:
        self._quotas = lookups.namespaced("resourcequotas")
        self._limited = limited
        self._waiting: dict[str, list[_Waiter]] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        # What was written here and the cache does not show yet, by storage key.
        self._written: dict[str, Item] = {}

    async def validate(self, attributes: Attributes) -> None:
        """Charge the write, or refuse it with 403."""
        if not attributes.namespace or attributes.operation not in (CREATE, UPDATE) or attributes.object is None:
            return
        namespace, qualified = attributes.namespace, attributes.resource.qualified
        if qualified == "namespaces" or qualified in evaluators.IGNORED:
            return
        if not await self._quotas.items(namespace) and not self._limited:
            return
        evaluator = evaluators.evaluator(qualified)
        write = Write(
            attributes.operation, attributes.subresource, attributes.object, attributes.old, attributes.context.now
        )
        if not evaluator.handles(write):
            return
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, []).append(_Waiter(attributes, evaluator, write, answer))
        if namespace not in self._working:
            self._working[namespace] = asyncio.get_running_loop().create_task(self._work(namespace))
        try:
            async with asyncio.timeout(_SECONDS):
                await answer
        except TimeoutError as error:
            raise errors.internal("resource quota evaluation timed out") from error

    async def _work(self, namespace: str) -> None:
        """Judge batches until nobody of the namespace waits."""
        try:
            while batch := self._waiting.pop(namespace, None):
                try:
                    await self._judge(namespace, batch)
                finally:
                    for waiter in batch:
                        waiter.refuse(errors.internal("resource quota evaluation was interrupted"))
        finally:
            del self._working[namespace]

    async def _judge(self, namespace: str, batch: Sequence[_Waiter]) -> None:
        found = [self._newest(item) for item in await self._quotas.items(namespace)]
        error = errors.conflict("resourcequotas", "", errors.STALE)
        for _ in range(_ATTEMPTS):
            running = [stored.object for stored in found]
            for waiter in batch:
                if not waiter.answer.done():
                    running = self._charge(running, waiter)
            changed = [
                (stored, new)
                for stored, new in zip(found, running, strict=True)
                if not resource_lists.equal(charges.used(stored.object), charges.used(new))
            ]
            again: list[Stored] = []
            for stored, new in changed:
                try:
                    await self._write(batch[0].attributes.context, stored, new)
                except storage_errors.RevisionConflictError:
                    error = errors.conflict("resourcequotas", meta.name(new), errors.STALE)
                    self._written.pop(stored.item.key, None)
                    fresh = await self._quotas.objects.current(self._quotas.served, stored.item.key, fresh=True)
                    if fresh is not None:
                        again.append(fresh)
                except storage_errors.StorageError as failure:
                    self._refuse(batch, translated(failure))
                    return
            if not again:
                for waiter in batch:
                    waiter.accept()
                return
            # The others bore it already; those that changed meanwhile must say so again.
            found = again
        self._refuse(batch, error)

    def _charge(self, running: list[Object], waiter: _Waiter) -> list[Object]:
        attributes = waiter.attributes
        try:
            after = charges.charged(running, waiter.evaluator, waiter.write, self._limited)
        except charges.RefusedError as why:
            resource = attributes.resource
            waiter.refuse(errors.forbidden(resource.plural, attributes.name, str(why), group=resource.group))
            return running
        if attributes.context.dry_run:
            waiter.accept()
            return running
        if all(new is old for new, old in zip(after, running, strict=True)):
            waiter.accept()
        return after

    def _refuse(self, batch: Sequence[_Waiter], error: errors.StatusError) -> None:
        for waiter in batch:
            waiter.refuse(error)

    def _newest(self, item: Item) -> Stored:
        written = self._written.get(item.key)
        if written is not None and written.revision > item.revision:
            item = written
        else:
            self._written.pop(item.key, None)
        return Stored(item, self._quotas.objects.object(self._quotas.served, item))

    async def _write(self, context: Context, stored: Stored, new: Object) -> None:
        served = self._quotas.served
        fields = managed_fields.update(
            served.schema, stored.object, new, manager=_MANAGER, api_version=served.resource.api_version,
            now=context.now, subresource="status",
        )  # fmt: skip
        new = {**new, "metadata": dict(new["metadata"])}
        managed_fields.set_on(new, fields)
        own = Context(LOOPBACK, context.info, context.now, _MANAGER)
        self._written[stored.item.key] = await self._quotas.objects.replace(own, served, stored, new)
