"""Definitions in the two dialects of OpenAPI that clients read: v3 components and Swagger 2.0 definitions.

The markers of lists, patches and kinds, and enumerations are alike in both. Only v3 has defaults. They differ in how a
reference is written beside other fields: Swagger lets it stand, v3 wants it inside `allOf`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from keelson.api.definitions import definitions, descriptions, details
from keelson.api.resources import Resource

V3_PREFIX = "#/components/schemas/"
V2_PREFIX = "#/definitions/"

_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_SPECIAL_V3: dict[str, dict[str, Any]] = {
    _INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    _QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
}
_SPECIAL_V2: dict[str, dict[str, Any]] = {
    _INT_OR_STRING: {"format": "int-or-string", "type": "string"},
    _QUANTITY: {"type": "string"},
}
# In our own words, since the definitions have none for these.
_TOLD = {
    _INT_OR_STRING: "A number or a text, such as a port by its number or by its name, or a count or a percentage.",
    _QUANTITY: (
        "A number that is kept exactly, written as a text with a suffix: n, u, m, k, M, G, T, P, E for powers of 1000, "
        "Ki, Mi, Gi, Ti, Pi, Ei for powers of 1024, or an exponent such as e3. 0.5 and 500m are the same. It lies "
        "between -2^63 and 2^63-1, has at most three decimals that count, and is rounded up to that."
    ),
}

Node = Mapping[str, Any]
Refer = Callable[[str], dict[str, Any]]


def reference_v3(name: str) -> dict[str, Any]:
    """A reference to a component."""
    return {"$ref": V3_PREFIX + name}


def reference_v2(name: str) -> dict[str, Any]:
    """A reference to a Swagger definition."""
    return {"$ref": V2_PREFIX + name}


def _translate(node: Node, description: str, said: Node, refer: Refer, *, v3: bool) -> dict[str, Any]:
    """A node in a dialect; `said` is what `definitions.details` has of it."""
    result: dict[str, Any] = {}
    if "enum" in said:
        result["enum"] = said["enum"]
        if description:
            # Those who show prose alone are to know too, as upstream has it.
            description += "\n\nPossible enum values:" + "".join(f'\n - `"{value}"`' for value in said["enum"])
    if description:
        result["description"] = description
    if v3 and "default" in said:
        result["default"] = said["default"]
    for key, value in node.items():
        match key:
            case "$ref":
                if v3 and (result or len(node) > 1):
                    result["allOf"] = [refer(value)]
                else:
                    result.update(refer(value))
            case "properties" | "oneOf":
                continue
            case "items" | "additionalProperties":
                result[key] = _translate(value, "", said.get(key, {}), refer, v3=v3)
            case _:
                result[key] = value
    return result


def _definition(name: str, node: Node, prose: Mapping[str, str], said: Node, *, v3: bool) -> dict[str, Any]:
    refer = reference_v3 if v3 else reference_v2
    special = (_SPECIAL_V3 if v3 else _SPECIAL_V2).get(name)
    if special is not None:
        return {"description": _TOLD[name], **special}
    result = _translate(node, prose.get("", ""), {}, refer, v3=v3)
    if "properties" in node:
        result["properties"] = {
            key: _translate(child, prose.get(key, ""), said.get(key, {}), refer, v3=v3)
            for key, child in node["properties"].items()
        }
    return result


def _reached(roots: Iterable[str], known: Mapping[str, Node]) -> list[str]:
    def references(node: Node) -> Iterable[str]:
        if "$ref" in node:
            yield node["$ref"]
        for child in node.get("properties", {}).values():
            yield from references(child)
        for key in ("items", "additionalProperties"):
            if key in node:
                yield from references(node[key])

    pending, found = list(roots), dict[str, None]()
    while pending:
        name = pending.pop()
        if name not in found and name in known:
            found[name] = None
            pending.extend(references(known[name]))
    return sorted(found)


def components(roots: Iterable[str], *, v3: bool) -> dict[str, Any]:
    """What the definitions named by `roots` reach, with prose, in the dialect asked for."""
    known, prose, said = definitions(), descriptions(), details()
    return {
        name: _definition(name, known[name], prose.get(name, {}), said.get(name, {}), v3=v3)
        for name in _reached(roots, known)
    }


def names_by_kind() -> dict[tuple[str, str, str], str]:
    """The definition of each (group, version, kind)."""
    found: dict[tuple[str, str, str], str] = {}
    for name, node in definitions().items():
        for gvk in node.get("x-kubernetes-group-version-kind", ()):
            found[gvk["group"], gvk["version"], gvk["kind"]] = name
    return found


_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_LIST_META = f"{_META}.ListMeta"
# What definitions and paths of any custom resource refer to.
CUSTOM_ROOTS = frozenset(f"{_META}.{name}" for name in ("ObjectMeta", "ListMeta", "Status", "DeleteOptions", "Patch"))
_ANY_KIND = "io.k8s.api.core.v1.ConfigMap"
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
# What of a structural schema Swagger 2.0 readers can't make sense of, and defaults, which only v3 tells.
_V3_ONLY = ("oneOf", "anyOf", "not", "nullable", "allOf", "default")


def common_properties(*, v3: bool) -> dict[str, Any]:
    """What every object has, told in the words that built-in kinds have for it."""
    refer = reference_v3 if v3 else reference_v2
    prose = descriptions()[_ANY_KIND]
    return {
        key: _translate(child, prose.get(key, ""), {}, refer, v3=v3)
        for key, child in definitions()[_ANY_KIND]["properties"].items()
        if key in ("apiVersion", "kind", "metadata")
    }


def of_version(schemas: Mapping[str, dict[str, Any]], group: str, version: str) -> dict[str, Any]:
    """Components as the document of one version has them: options and events are kinds of every group's versions."""

    def wanted(kind: Mapping[str, str]) -> bool:
        return (not kind["group"] and kind["version"] == "v1") or (kind["group"], kind["version"]) == (group, version)

    field = "x-kubernetes-group-version-kind"
    return {
        name: {**node, field: [each for each in node[field] if wanted(each)]} if len(node.get(field, ())) > 1 else node
        for name, node in schemas.items()
    }


def custom(group: str, version: str, kind: str, schema: Node, common: Mapping[str, Any], *, v3: bool) -> dict[str, Any]:
    """The definition of a custom kind from its structural schema and `common_properties`."""
    kinds = [{"group": group, "version": version, "kind": kind}]
    if not v3 and schema.get("x-kubernetes-preserve-unknown-fields"):
        # Were any property named, readers of Swagger 2.0 would refuse all others.
        return {"type": "object", "x-kubernetes-group-version-kind": kinds}
    result = _spelt(schema) if v3 else _plain(schema)
    return {
        **result,
        "type": "object",
        "properties": {**result.get("properties", {}), **common},
        "x-kubernetes-group-version-kind": kinds,
    }


def _plain(node: Node) -> dict[str, Any]:
    result = {key: value for key, value in node.items() if key not in _V3_ONLY}
    if node.get("x-kubernetes-preserve-unknown-fields") or node.get("nullable"):
        # A reader of Swagger 2.0 would refuse what such a node may hold.
        for key in ("items", "properties", "type"):
            result.pop(key, None)
        return result
    if "properties" in node:
        result["properties"] = {key: _plain(child) for key, child in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), Mapping):
            result[key] = _plain(node[key])
    return result


def _spelt(node: Node) -> dict[str, Any]:
    """A structural schema as readers of v3 understand it, who do not know what else may be an integer or a string."""
    result = dict(node)
    if node.get("x-kubernetes-int-or-string") and "anyOf" not in node:
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in node:
        result["properties"] = {key: _spelt(child) for key, child in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), Mapping):
            result[key] = _spelt(node[key])
    return result


def custom_list(
    resource: Resource, list_kind: str, name: str, common: Mapping[str, Any], *, v3: bool
) -> dict[str, Any]:
    """The definition of the list of a custom kind, whose own definition is `name`; `common` is `common_properties`."""
    refer = reference_v3 if v3 else reference_v2
    metadata = {"allOf": [refer(_LIST_META)]} if v3 else refer(_LIST_META)
    return {
        "description": f"{list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": common["apiVersion"],
            "kind": common["kind"],
            "metadata": {"description": f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds", **metadata},
            "items": {
                "description": f"List of {resource.plural}. More info: {_CONVENTIONS}",
                "type": "array",
                "items": refer(name),
            },
        },
        "x-kubernetes-group-version-kind": [{"group": resource.group, "version": resource.version, "kind": list_kind}],
    }
