"""What a CRD serves: one `Served` a version, all on the same stored objects.

Objects stay stored in the version that was the stored one when they were written last. On the way out of the store each
is pruned and defaulted by the schema of the version it says it has, as upstream's server does, so that a schema that
changed shows its effect at once; conversion to another version, where the CRD asks for none, renames the version and
prunes by the other's schema (apiextensions.k8s.io/v1, "Versions", "Field pruning", "Defaulting"). Where it asks for a
webhook, each version is a view of its own (`registry.views`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from keelson.api import conformance, defaults, schemas
from keelson.api.meta import Object
from keelson.api.resources import VERBS, Resource
from keelson.api.schemas import MISSING, Schema
from keelson.api.tables import paths
from keelson.kube_apiserver.aggregation import priorities
from keelson.kube_apiserver.registry import selectable_fields
from keelson.kube_apiserver.registry.catalogues import Conversion, Served
from keelson.kube_apiserver.registry.owned_versions import Convert, OwnedVersions
from keelson.kube_apiserver.registry.views import Shown, View

from . import names


def storage_prefix(definition: Object) -> str:
    """Where below the root the objects of a CRD lie."""
    spec = definition["spec"]
    return f"{spec['group']}/{spec['names']['plural']}"


def stored_version(definition: Object) -> str:
    """The name of the version that objects are written in."""
    found: str = next(version["name"] for version in definition["spec"]["versions"] if version.get("storage"))
    return found


def _resource(definition: Object, version: Object) -> Resource:
    spec, accepted = definition["spec"], names.accepted(definition)
    subresources = version.get("subresources") or {}
    return Resource(
        group=spec["group"],
        version=version["name"],
        kind=accepted["kind"],
        plural=accepted["plural"],
        namespaced=spec["scope"] == "Namespaced",
        singular=accepted["singular"],
        short_names=tuple(accepted.get("shortNames") or ()),
        categories=tuple(accepted.get("categories") or ()),
        subresources=tuple(name for name in ("status", "scale") if name in subresources),
        verbs=VERBS,
        storage_prefix=storage_prefix(definition),
    )


def _open_api(version: Object) -> Object:
    schema: Object = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    return schema


# Makes a view from spec.conversion.webhook, what shapes converted objects, and what the view shows.
MakeView = Callable[[Object, Callable[[Object], Object], Shown], View]


class Reader:
    """Brings objects that come out of the store into the shape of the version that they say they have."""

    def __init__(self, definition: Object, by_version: Mapping[str, Schema]) -> None:
        group, stored = definition["spec"]["group"], stored_version(definition)
        self._by_version = {f"{group}/{name}": schema for name, schema in by_version.items()}
        self._stored_schema = by_version[stored]

    def __call__(self, obj: Object) -> Object:
        """The object, pruned and defaulted in place; what of its metadata has a wrong type goes."""
        schema = self._by_version.get(obj.get("apiVersion") or "", self._stored_schema)
        conformance.shape_metadata(obj, schema.properties["metadata"], salvage=True)
        # Objects older than generations have the first.
        if isinstance(metadata := obj.get("metadata"), dict):
            metadata["generation"] = metadata.get("generation") or 1
        conformance.prune(obj, schema, salvage=True)
        defaults.apply_structural(schema, obj)
        return obj


def _by_webhook(definition: Object) -> bool:
    conversion = definition["spec"].get("conversion") or {}
    return bool(conversion.get("strategy") == "Webhook")


def _renamed(api_version: str, schema: Schema | None) -> Callable[[Object], Object]:
    """Conversion "None" to a version; `schema` prunes, None where there is nothing that it could prune."""

    def convert(obj: Object) -> Object:
        converted = {**obj, "apiVersion": api_version}
        if schema is not None:
            conformance.prune(converted, schema, salvage=True)
        return converted

    return convert


def _plain_conversion(by_api_version: Mapping[str, Schema]) -> Convert:
    async def convert(obj: Object, api_version: str) -> Object:
        return _renamed(api_version, by_api_version[api_version])(obj)

    return convert


def _prune_defaults(schema: Schema) -> None:
    """Take out of defaults what would be pruned from objects: what metadata holds is for this server to say."""
    for child in (*schema.properties.values(), schema.items, schema.additional_properties):
        if child is None or child.name:
            continue
        if child.default is not MISSING:
            child.default = copy.deepcopy(child.default)
            conformance.prune(child.default, child, salvage=True)
        _prune_defaults(child)
    metadata = schema.stated.get("metadata")
    if metadata is None:
        return
    shape = schema.properties["metadata"]
    if metadata.default is not MISSING:
        metadata.default = copy.deepcopy(metadata.default)
        conformance.shape_metadata({"metadata": metadata.default}, shape, salvage=True)
    for key, child in metadata.properties.items():
        if key not in shape.properties:
            child.default = MISSING


def _keep_unknown(schema: Schema) -> None:
    """Let nothing be pruned by a schema, as older CRDs may ask (spec.preserveUnknownFields)."""
    schema.preserve_unknown = True
    for child in (*schema.properties.values(), schema.items, schema.additional_properties):
        # Definitions that are built in are shared, and are what they are.
        if child is not None and not child.name:
            _keep_unknown(child)


def served(definition: Object, root: str, make_view: MakeView) -> list[Served]:
    """What the CRD serves; its names must have been accepted."""
    spec = definition["spec"]
    versions: list[Object] = spec["versions"]
    stored = stored_version(definition)
    compiled = {version["name"]: schemas.structural(_open_api(version)) for version in versions}
    for schema in compiled.values():
        _prune_defaults(schema)
        if spec.get("preserveUnknownFields"):
            _keep_unknown(schema)
    shapes = {version["name"]: _open_api(version) for version in versions}
    reader = Reader(definition, compiled)
    webhook = spec["conversion"]["webhook"] if _by_webhook(definition) and len(versions) > 1 else None
    indexed = tuple(
        dict.fromkeys(
            field["jsonPath"].lstrip(".") for version in versions for field in version.get("selectableFields") or ()
        )
    )
    list_kind = names.accepted(definition)["listKind"]
    by_api_version = {f"{spec['group']}/{name}": schema for name, schema in compiled.items()}
    found = []
    for version in versions:
        if not version.get("served"):
            continue
        resource = _resource(definition, version)
        prefix = f"{root}{resource.storage_prefix}/"
        view, conversion, alike = None, None, True
        convert: Convert = _plain_conversion(by_api_version)
        if webhook is not None:
            fields = selectable_fields.of(resource, {"selectableFields": version.get("selectableFields") or ()})
            there = f"{spec['group']}/{stored}"
            view = make_view(webhook, reader, Shown(prefix, resource.api_version, there, resource.kind, fields))
            convert = view.converted
        elif len(versions) > 1:
            # Objects may still be stored in any version: only where all have one shape nothing is left to prune.
            alike = all(shape == shapes[version["name"]] for shape in shapes.values())
            conversion = Conversion(
                to_stored=_renamed(
                    f"{spec['group']}/{stored}",
                    None if shapes[stored] == shapes[version["name"]] else compiled[stored],
                ),
                from_stored=_renamed(resource.api_version, None if alike else compiled[version["name"]]),
            )
        found.append(
            Served(
                resource=resource,
                schema=compiled[version["name"]],
                # A view's items are in its own version already.
                stored_api_version=f"{spec['group']}/{stored if view is None else version['name']}",
                prefix=prefix,
                list_kind=list_kind,
                conversion=conversion,
                custom=True,
                extras={**_extras(definition, version), "storedVersion": stored},
                reader=reader,
                indexed=indexed if view is None else (),
                view=view,
                renames_only=alike,
                versions=None if alike and view is None else OwnedVersions(by_api_version, convert),
            )
        )
    return found


def _deprecation(definition: Object, version: Object) -> str:
    """The warning of a deprecated version that states none: the newest version that is to be used instead."""
    group, kind = definition["spec"]["group"], names.accepted(definition)["kind"]
    own = priorities.version_key(version["name"])
    newer = [
        each["name"]
        for each in definition["spec"]["versions"]
        if each.get("served") and not each.get("deprecated") and priorities.version_key(each["name"]) < own
    ]
    text = f"{group}/{version['name']} {kind} is deprecated"
    return f"{text}; use {group}/{min(newer, key=priorities.version_key)} {kind}" if newer else text


def _can_be_printed(columns: list[Object]) -> bool:
    """Whether all paths of columns can be read; only their beginning is validated, so tables must do without them."""
    try:
        for column in columns:
            paths.compile_path(column["jsonPath"])
    except paths.PathError:
        return False
    return True


def _extras(definition: Object, version: Object) -> dict[str, Any]:
    extras: dict[str, Any] = {"openAPIV3Schema": _open_api(version), "storage": bool(version.get("storage"))}
    if version.get("deprecated"):
        extras["deprecationWarning"] = version.get("deprecationWarning") or _deprecation(definition, version)
    if version.get("selectableFields"):
        extras["selectableFields"] = version["selectableFields"]
    columns = version.get("additionalPrinterColumns")
    if columns and _can_be_printed(columns):
        extras["additionalPrinterColumns"] = columns
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        extras["scale"] = scale
        extras["scalePaths"] = {
            f"{definition['spec']['group']}/{each['name']}": each["subresources"]["scale"]["specReplicasPath"]
            for each in definition["spec"]["versions"]
            if "scale" in (each.get("subresources") or {})
        }
    return extras
