"""The four patches of an object, and server-side apply's way of creating one.

A patch becomes a change of the stored object, so that it takes the road of every update; it is computed again where
somebody else was faster.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from keelson.api import decoding, errors, meta
from keelson.api.meta import Object
from keelson.api.patches import json_patch, managed_fields, merge_patch, server_side_apply, strategic, typed_values
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.serving.negotiation import offers_cbor

from . import patch_refusals, unwritten_fields
from .catalogues import Served
from .contexts import Context
from .objects import Objects

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
APPLY_CBOR_PATCH = "application/apply-patch+cbor"

_SYSTEM_FIELDS = ("metadata",)


class Patches:
    """The verb patch."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def patch(
        self,
        context: Context,
        served: Served,
        namespace: str,
        name: str,
        media_type: str,
        body: bytes,
        *,
        subresource: str = "",
    ) -> tuple[Item, bool]:
        """(the item after the patch, whether it was created). Raises StatusError."""
        supported = [JSON_PATCH, MERGE_PATCH, APPLY_PATCH]
        if not served.custom:
            supported.insert(2, STRATEGIC_PATCH)
        if offers_cbor():
            supported.append(APPLY_CBOR_PATCH)
        if media_type not in supported:
            raise errors.unsupported_media_type(supported)
        value, duplicates = decoding.parse(body, media_type, duplicates=context.field_validation != "Ignore")
        if media_type in (APPLY_PATCH, APPLY_CBOR_PATCH):
            return await self._apply(context, served, namespace, name, value, duplicates, subresource=subresource)
        function = self._function(served, media_type, value)

        def change(obj: Object) -> Object:
            patched = function(obj)
            if not isinstance(patched, dict):
                raise errors.bad_request("a patch must leave an object")
            # Patches share what they leave alone with the object; what follows changes in place.
            patched = copy.deepcopy(patched)
            try:
                self._conform(context, served, patched, duplicates)
            except errors.StatusError as error:
                if error.code != 400:
                    raise
                raise patch_refusals.undecodable(media_type == STRATEGIC_PATCH, value, function(obj), error) from error
            return patched

        item = await self._objects.update(context, served, namespace, name, change, subresource=subresource)
        return item, False

    def _conform(self, context: Context, served: Served, obj: Object, duplicates: list[str]) -> None:
        schema = served.schema if served.custom else None
        found = decoding.conform(
            obj, served.resource, schema=schema, field_validation=context.field_validation, duplicates=duplicates
        )
        context.warnings[:] = [context.deprecation, *found] if context.deprecation else found

    def _shape_configuration(
        self, context: Context, served: Served, configuration: Object, duplicates: list[str]
    ) -> None:
        """An apply configuration has a schema to fit: what that lacks is refused whatever `fieldValidation` says."""
        resource = served.resource
        unknown = decoding.shape(configuration, resource, schema=served.schema if served.custom else None)
        if unknown:
            found = [
                f"{typed_values.location(served.schema, configuration, path)}: field not declared in schema"
                for path in unknown
            ]
            what = f"{meta.namespace(configuration)}/{meta.name(configuration)}"
            kind = f"{resource.api_version}, Kind={resource.kind}"
            listed = found[0] if len(found) == 1 else "errors:" + "".join(f"\n  {line}" for line in found)
            raise errors.bad_request(f"failed to create typed patch object ({what}; {kind}): {listed}")
        if context.field_validation == "Strict" and duplicates:
            raise errors.bad_request(
                f"error strict decoding YAML: error converting YAML to JSON: {', '.join(duplicates)}"
            )
        found = decoding.warnings(duplicates) if context.field_validation == "Warn" else []
        context.warnings[:] = [context.deprecation, *found] if context.deprecation else found

    def _function(self, served: Served, media_type: str, value: Any) -> Callable[[Object], Any]:
        if media_type == JSON_PATCH:
            return lambda obj: json_patch.apply(obj, value)
        if media_type == MERGE_PATCH:
            if not isinstance(value, dict):
                raise errors.bad_request("error decoding patch: a merge patch is an object")
            return lambda obj: merge_patch.apply(obj, value)
        return lambda obj: strategic.apply(served.schema, obj, value)

    async def _apply(
        self,
        context: Context,
        served: Served,
        namespace: str,
        name: str,
        value: Any,
        duplicates: list[str],
        *,
        subresource: str,
    ) -> tuple[Item, bool]:
        if not isinstance(value, dict):
            raise errors.bad_request("error decoding YAML: an apply configuration is an object")
        for field, wanted in (("apiVersion", served.resource.api_version), ("kind", served.resource.kind)):
            if value.get(field) != wanted:
                raise errors.bad_request(f"{field} of the apply configuration must be {wanted}")
        configuration = copy.deepcopy(value)
        if not configuration.get("metadata"):
            configuration["metadata"] = {}
        if not isinstance(configuration["metadata"], dict):
            raise errors.bad_request("error decoding YAML: metadata of the apply configuration must be an object")
        if meta.name(configuration) and meta.name(configuration) != name:
            raise errors.bad_request("the name in the apply configuration is not the name on the URL")
        configuration["metadata"]["name"] = name
        if served.resource.namespaced:
            configuration["metadata"].setdefault("namespace", namespace)
        self._shape_configuration(context, served, configuration, duplicates)

        def computed(live: Object | None, versions: managed_fields.Versions | None) -> Object:
            return server_side_apply.apply(
                served.schema,
                live,
                configuration,
                manager=context.manager,
                api_version=served.resource.api_version,
                now=context.now,
                force=context.force,
                subresource=subresource,
                reset=unwritten_fields.of(served, subresource),
                versions=versions,
            )

        async def applied(live: Object | None) -> Object:
            if served.versions is None:
                return copy.deepcopy(computed(live, None))
            return copy.deepcopy(await served.versions.settle(lambda versions: computed(live, versions)))

        for _ in range(3):
            try:
                item = await self._objects.update(
                    context, served, namespace, name, applied, subresource=subresource, owned=True
                )
                return item, False
            except errors.StatusError as error:
                if error.code != 404 or subresource or error.details.get("kind") != served.resource.plural:
                    raise
            served.check_creation()
            if uid := meta.uid(configuration):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise errors.conflict(served.resource.plural, name, why, group=served.resource.group)
            fresh = await applied(None)
            owners = meta.metadata(fresh).get("managedFields") or []
            fresh["metadata"].pop("uid", None)
            try:
                return await self._objects.create(context, served, namespace, fresh, owners=owners), True
            except errors.StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
        raise errors.conflict(served.resource.plural, name, errors.STALE, group=served.resource.group)
