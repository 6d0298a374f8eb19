"""validatingadmissionpolicy-status-controller: tells the authors of policies where their expressions' types don't fit.

Reads: validatingadmissionpolicies, customresourcedefinitions. Writes: the policies' status. (KEP-3488.)
"""

from __future__ import annotations

from keelson.api import errors, meta, resources, schemas
from keelson.api.meta import Object
from keelson.api.schemas import Schema
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.contexts import Context
from keelson.kube_controller_manager.decisions import policy_types
from keelson.kube_controller_manager.decisions.policy_types import Kind

_POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"


class ValidatingAdmissionPolicyStatusController:
    """One look at each generation of a policy."""

    name = "validatingadmissionpolicy-status-controller"
    account = "validatingadmissionpolicy-status-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._queue = WorkQueue("validatingadmissionpolicy-status")
        self._policies = context.informers.informer(_POLICIES)
        self._definitions = context.informers.informer("customresourcedefinitions.apiextensions.k8s.io")
        self._policies.add_handler(lambda old, new: self._queue.add(meta.name(new or old or {})))

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await work(self.name, self._queue, self._reconcile, workers=1)

    async def _reconcile(self, name: str) -> float | None:
        policy = self._policies.store.get(name)
        if policy is None:
            return None
        generation = meta.metadata(policy).get("generation") or 0
        if generation <= ((policy.get("status") or {}).get("observedGeneration") or 0):
            return None
        found = policy_types.warnings(policy, self._kind, self._schema)
        status: Object = {"observedGeneration": generation, "typeChecking": {}}
        if found:
            status["typeChecking"] = {"expressionWarnings": found}
        applied = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "status": status,
        }
        try:
            await self._client.apply(_POLICIES, applied, field_manager=self.name, force=True, subresource="status")
        except errors.StatusError as error:
            # Gone meanwhile: nobody is left to be told.
            if error.code != 404:
                raise
        return None

    def _kind(self, group: str, version: str, plural: str) -> Kind | None:
        for resource in resources.BUILT_IN:
            if (resource.group, resource.version, resource.plural) == (group, version, plural):
                return Kind(group, version, resource.kind)
        definition = self._definitions.store.get(f"{plural}.{group}")
        if definition is None or _version(definition, version) is None:
            return None
        return Kind(group, version, definition["spec"]["names"]["kind"])

    def _schema(self, kind: Kind) -> Schema | None:
        api_version = f"{kind.group}/{kind.version}" if kind.group else kind.version
        try:
            return schemas.of(schemas.Kind(api_version, kind.kind))
        except KeyError:
            pass
        for definition in self._definitions.store:
            spec = definition["spec"]
            if (spec["group"], spec["names"]["kind"]) == (kind.group, kind.kind):
                stated = ((_version(definition, kind.version) or {}).get("schema") or {}).get("openAPIV3Schema")
                return None if stated is None else schemas.structural(stated)
        return None


def _version(definition: Object, name: str) -> Object | None:
    found: Object | None = next(
        (each for each in definition["spec"]["versions"] if each["name"] == name and each.get("served")), None
    )
    return found
