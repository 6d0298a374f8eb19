"""Scale: the replica count of whatever has one, in one shape (autoscaling/v1 Scale).

Reads spec.replicas, status.replicas and the selector; writes spec.replicas. Custom resources say by
paths where theirs are.
"""

from __future__ import annotations

import copy
from typing import Any

import orjson

from keelson.api import decoding, errors, meta, selectors
from keelson.api.meta import Object
from keelson.api.patches import (
    json_patch,
    managed_fields,
    merge_patch,
    scale_ownership,
    server_side_apply,
    strategic,
)
from keelson.api.schemas import Kind, of
from keelson.kube_apiserver.admission.chains import UPDATE, Attributes
from keelson.kube_apiserver.encodings.bodies import read
from keelson.kube_apiserver.registry.catalogues import Served
from keelson.kube_apiserver.registry.contexts import Context
from keelson.kube_apiserver.registry.objects import Objects
from keelson.kube_apiserver.registry.patching import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from keelson.kube_apiserver.serving.messages import Request, Response

from .verbs import only

_SCALE = Kind("autoscaling/v1", "Scale")
_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_BUILT_IN = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def _at(obj: Any, path: str) -> Any:
    for part in path.strip(".").split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def _put(obj: Object, path: str, value: Any) -> None:
    *parents, last = path.strip(".").split(".")
    for part in parents:
        obj = obj.setdefault(part, {})
    obj[last] = value


def scale_of(served: Served, obj: Object) -> Object:
    """The Scale of an object."""
    paths = served.extras.get("scale") or _BUILT_IN
    selector = ""
    if served.custom:
        selector = _at(obj, paths.get("labelSelectorPath") or "") or ""
    else:
        stated = (obj.get("spec") or {}).get("selector") or {}
        if served.resource.kind == "ReplicationController":
            selector = str(selectors.from_labels(stated))
        else:
            selector = str(selectors.from_label_selector(stated))
    metadata = {field: value for field, value in meta.metadata(obj).items() if field in _IDENTITY}
    status: Object = {"replicas": _at(obj, paths["statusReplicasPath"]) or 0}
    if selector:
        status["selector"] = selector
    spec: Object = {}
    if (replicas := _at(obj, paths["specReplicasPath"])) is not None:
        spec["replicas"] = replicas
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def _paths_of(served: Served) -> scale_ownership.PathOf:
    """Where each version of a resource has the replicas that its Scale shows."""
    if not served.custom:
        own = scale_ownership.path_set(_BUILT_IN["specReplicasPath"])
        return lambda _version: own
    found = {version: scale_ownership.path_set(path) for version, path in served.extras["scalePaths"].items()}
    return found.get


class Scales:
    """`NAME/scale`."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def handle(self, context: Context, request: Request, served: Served) -> Response:
        """Show or set the scale."""
        only(context, "get", "update", "patch")
        namespace, name = context.info.namespace, context.info.name
        if context.info.verb == "get":
            item = await self._objects.get(served, namespace, name)
        else:
            body = read(context, request, _SCALE) if context.info.verb == "update" else None
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            paths_of = _paths_of(served)

            async def change(obj: Object) -> Object:
                old = scale_of(served, obj)
                managed_fields.set_on(
                    old, scale_ownership.to_scale(meta.metadata(obj).get("managedFields") or [], paths_of)
                )
                new = (
                    copy.deepcopy(body)
                    if body is not None
                    else _patched(context, old, media_type, request.body, custom=served.custom)
                )
                attributes = Attributes(context, UPDATE, served.resource, namespace, name, "scale", new, old)
                await self._objects.admission.mutate(attributes)
                owners = meta.metadata(new).get("managedFields") or []
                if media_type != APPLY_PATCH:
                    owners = managed_fields.update(
                        of(_SCALE), old, new, manager=context.manager, api_version=scale_ownership.SCALE_VERSION,
                        now=context.now, subresource="scale",
                    )  # fmt: skip
                before = meta.metadata(obj).get("managedFields") or []
                scaled = self._scaled(served, obj, new, name)
                if before or media_type == APPLY_PATCH:
                    kept = scale_ownership.to_object(before, owners, paths_of, served.resource.api_version)
                    managed_fields.set_on(scaled, kept)
                await self._objects.admission.validate(attributes)
                return scaled

            item = await self._objects.update(context, served, namespace, name, change, admit=False, owned=True)
        return Response(200, orjson.dumps(scale_of(served, self._objects.object(served, item))))

    def _scaled(self, served: Served, obj: Object, scale: Object, name: str) -> Object:
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if meta.name(scale) and meta.name(scale) != name:
            raise errors.bad_request("the name of the Scale is not the name on the URL")
        if replicas < 0:
            message = f"Invalid value: {replicas}: must be greater than or equal to 0"
            cause = errors.cause("spec.replicas", "FieldValueInvalid", message)
            raise errors.invalid("Scale", name, [cause], group="autoscaling")
        paths = served.extras.get("scale") or _BUILT_IN
        _put(obj, paths["specReplicasPath"], replicas)
        # What the Scale states of version and identity is what the object must be.
        for field in ("resourceVersion", "uid"):
            stated = meta.metadata(scale).get(field)
            if stated:
                obj["metadata"][field] = stated
            elif field == "resourceVersion":
                obj["metadata"].pop(field, None)
        return obj


def _patched(context: Context, scale: Object, media_type: str, body: bytes, *, custom: bool) -> Object:
    supported = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH]
    if custom:
        supported.remove(STRATEGIC_PATCH)
    if media_type not in supported:
        raise errors.unsupported_media_type(supported)
    value, _ = decoding.parse(body, media_type)
    schema = of(_SCALE)
    if media_type == JSON_PATCH:
        new = json_patch.apply(scale, value)
    elif media_type == MERGE_PATCH:
        new = merge_patch.apply(scale, value)
    elif media_type == STRATEGIC_PATCH:
        new = strategic.apply(schema, scale, value)
    else:
        new = server_side_apply.apply(
            schema,
            scale,
            value,
            manager=context.manager,
            api_version=scale_ownership.SCALE_VERSION,
            now=context.now,
            force=context.force,
            subresource="scale",
        )
    fresh: Object = orjson.loads(orjson.dumps(new))
    decoding.conform(fresh, _SCALE)
    if not isinstance(value, dict) or "resourceVersion" not in (value.get("metadata") or {}):
        meta.metadata(fresh).pop("resourceVersion", None)
    return fresh
