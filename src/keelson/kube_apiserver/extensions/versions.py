"""What a CRD serves: one `Served` a version, all on the same stored objects.

Objects stay stored in the version that was the stored one when they were written last. On the way out of the store each
is pruned and defaulted by the schema of the version it says it has, as upstream's server does, so that a schema that
changed shows its effect at once; conversion to another version, where the CRD asks for none, renames the version and
prunes by the other's schema (apiextensions.k8s.io/v1, "Versions", "Field pruning", "Defaulting"). Where it asks for a
webhook, each version is a view of its own (`registry.views`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import orjson

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


class Shapes(Mapping[str, Schema]):
    """The schemas of a CRD's versions by API version, each compiled when it is first asked for.

    Of hundreds of CRDs few have objects, and a compiled schema takes ten times the room of its text.
    """

    def __init__(self, definition: Object) -> None:
        spec = definition["spec"]
        self._keeps_unknown = bool(spec.get("preserveUnknownFields"))
        self._texts = {f"{spec['group']}/{each['name']}": orjson.dumps(_open_api(each)) for each in spec["versions"]}
        self._made: dict[str, Schema] = {}

    def __getitem__(self, api_version: str) -> Schema:
        made = self._made.get(api_version)
        if made is None:
            made = schemas.structural(orjson.loads(self._texts[api_version]))
            _prune_defaults(made)
            if self._keeps_unknown:
                _keep_unknown(made)
            self._made[api_version] = made
        return made

    def __contains__(self, api_version: object) -> bool:
        return api_version in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, api_version: str) -> bytes:
        """A version's `openAPIV3Schema` as JSON."""
        return self._texts[api_version]


class Reader:
    """Brings objects that come out of the store into the shape of the version that they say they have."""

    def __init__(self, shapes: Shapes, stored: str) -> None:
        self._shapes = shapes
        self._stored = stored

    def __call__(self, obj: Object) -> Object:
        """The object, pruned and defaulted in place; what of its metadata has a wrong type goes."""
        version: str = obj.get("apiVersion") or ""
        schema = self._shapes[version if version in self._shapes else self._stored]
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


def _renamed(api_version: str, shapes: Shapes | None) -> Callable[[Object], Object]:
    """Conversion "None" to a version; `shapes` prune, None where there is nothing that they could prune."""

    def convert(obj: Object) -> Object:
        converted = {**obj, "apiVersion": api_version}
        if shapes is not None:
            conformance.prune(converted, shapes[api_version], salvage=True)
        return converted

    return convert


def _plain_conversion(shapes: Shapes) -> Convert:
    async def convert(obj: Object, api_version: str) -> Object:
        return _renamed(api_version, shapes)(obj)

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
    shapes = Shapes(definition)
    there = f"{spec['group']}/{stored}"
    reader = Reader(shapes, there)
    webhook = spec["conversion"]["webhook"] if _by_webhook(definition) and len(versions) > 1 else None
    indexed = tuple(
        dict.fromkeys(
            field["jsonPath"].lstrip(".") for version in versions for field in version.get("selectableFields") or ()
        )
    )
    list_kind = names.accepted(definition)["listKind"]
    found = []
    for version in versions:
        if not version.get("served"):
            continue
        resource = _resource(definition, version)
        prefix = f"{root}{resource.storage_prefix}/"
        view, conversion, alike = None, None, True
        convert: Convert = _plain_conversion(shapes)
        if webhook is not None:
            fields = selectable_fields.of(resource, {"selectableFields": version.get("selectableFields") or ()})
            view = make_view(webhook, reader, Shown(prefix, resource.api_version, there, resource.kind, fields))
            convert = view.converted
        elif len(versions) > 1:
            # Objects may still be stored in any version: only where all have one shape nothing is left to prune.
            own = shapes.text(resource.api_version)
            alike = all(shapes.text(each) == own for each in shapes)
            conversion = Conversion(
                to_stored=_renamed(there, None if shapes.text(there) == own else shapes),
                from_stored=_renamed(resource.api_version, None if alike else shapes),
            )
        found.append(
            Served(
                resource=resource,
                shape=partial(shapes.__getitem__, resource.api_version),
                # A view's items are in its own version already.
                stored_api_version=f"{spec['group']}/{stored if view is None else version['name']}",
                prefix=prefix,
                list_kind=list_kind,
                conversion=conversion,
                custom=True,
                extras={
                    **_extras(definition, version),
                    "openAPIV3Schema": shapes.text(resource.api_version),
                    "storedVersion": stored,
                },
                reader=reader,
                indexed=indexed if view is None else (),
                view=view,
                renames_only=alike,
                versions=None if alike and view is None else OwnedVersions(shapes, convert),
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
    extras: dict[str, Any] = {"storage": bool(version.get("storage"))}
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
