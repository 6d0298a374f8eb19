"""Binding: the scheduler's one word, which puts a pod on a node (API reference, Binding v1).

Reads the pod; writes spec.nodeName, the condition PodScheduled, and annotations and labels that the binding carries;
removes status.nominatedNodeName.
"""

from __future__ import annotations

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.schemas import Kind
from keelson.kube_apiserver.admission.chains import CREATE, Attributes
from keelson.kube_apiserver.encodings.bodies import read
from keelson.kube_apiserver.registry.catalogues import Catalogue, Served
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.serving.messages import Request, Response

from .verbs import only

_BINDING = Kind("v1", "Binding")


class Bindings:
    """`pods/NAME/binding`, and `bindings` with the pod's name in the object."""

    def __init__(self, catalogue: Catalogue, objects: Objects) -> None:
        self._pods = catalogue.named("pods")
        self._objects = objects

    async def handle(self, context: Context, request: Request, served: Served) -> Response:
        """Bind. Raises StatusError 409 where the pod is bound or going away."""
        only(context, "create")
        binding = read(context, request, _BINDING)
        info = context.info
        name = info.name or meta.name(binding)
        target = binding.get("target") or {}
        causes = []
        if target.get("kind") not in (None, "", "Node"):
            message = f'Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
            causes.append(errors.cause("target.kind", "FieldValueNotSupported", message))
        if not target.get("name"):
            causes.append(errors.cause("target.name", "FieldValueRequired", "Required value"))
        if meta.name(binding) and meta.name(binding) != name:
            raise errors.bad_request("name in URL does not match name in Binding object")
        if causes:
            raise errors.invalid("Binding", name, causes)
        metadata = binding.setdefault("metadata", {})
        metadata.setdefault("namespace", info.namespace)
        if metadata["namespace"] != info.namespace:
            raise errors.bad_request("the namespace of the binding does not match the namespace on the URL")
        attributes = Attributes(
            context, CREATE, self._pods.resource, info.namespace, name, subresource="binding", object=binding
        )
        await self._objects.admission.mutate(attributes)
        await self._objects.admission.validate(attributes)

        def change(pod: Object) -> Object:
            return _bound(context, pod, binding, binding["target"]["name"])

        await self._objects.update(
            context, self._pods, info.namespace, name, change, subresource="binding", admit=False
        )
        return Response(201, orjson.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))


def _bound(context: Context, pod: Object, binding: Object, node: str) -> Object:
    name = meta.name(pod)
    spec = pod.setdefault("spec", {})

    def refuse(why: str) -> errors.StatusError:
        return errors.conflict("pods/binding", name, why)

    if meta.is_deleting(pod):
        raise refuse(f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise refuse(f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise refuse(f"pod {name} has non-empty .spec.schedulingGates")
    uid, version = meta.uid(binding), meta.resource_version(binding)
    if uid and uid != meta.uid(pod):
        raise refuse(f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid(pod)}")
    if version and version != meta.resource_version(pod):
        raise refuse(errors.STALE)
    spec["nodeName"] = node
    for field in ("annotations", "labels"):
        if carried := meta.metadata(binding).get(field):
            pod["metadata"][field] = {**(pod["metadata"].get(field) or {}), **carried}
    status = pod.setdefault("status", {})
    # The nomination has served (ClearingNominatedNodeNameAfterBinding).
    status.pop("nominatedNodeName", None)
    status["conditions"] = meta.with_condition(
        status.get("conditions") or [], type_="PodScheduled", status="True", now=context.now
    )
    pod["metadata"].pop("resourceVersion", None)
    return pod
