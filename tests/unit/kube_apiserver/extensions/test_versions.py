"""What a CRD serves, and how its objects come out of the store in each version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from keelson.kube_apiserver.extensions import names, versions
from keelson.kube_apiserver.registry.catalogues import Served
from keelson.kube_apiserver.registry.views import View

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def version(name: str, *, storage: bool = False, served: bool = True, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": schema}}


def no_view(*_: Any) -> View:
    raise AssertionError("no webhook converts here")


def served(*found: dict[str, Any]) -> dict[str, Served]:
    wanted = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    definition: dict[str, Any] = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": wanted, "versions": list(found)},
    }
    definition["status"] = names.status(definition, {"resource": set(), "kind": set()}, NOW)
    return {each.resource.version: each for each in versions.served(definition, "/registry/", no_view)}


TEXT, NUMBER = {"type": "string"}, {"type": "integer", "default": 3}


def test_one_version_needs_no_conversion_and_lies_where_upstream_puts_it() -> None:
    (found,) = served(version("v1", storage=True, a=TEXT)).values()
    assert found.is_plain
    assert found.conversion is None
    assert found.key("default", "one") == "/registry/example.com/widgets/default/one"
    assert found.stored_api_version == "example.com/v1"


def test_versions_that_are_not_served_are_not_there_but_may_be_stored() -> None:
    found = served(version("v1", storage=True, served=False, a=TEXT), version("v2", a=TEXT))
    assert list(found) == ["v2"]
    assert found["v2"].stored_api_version == "example.com/v1"
    assert found["v2"].renames_only


def test_objects_are_pruned_and_defaulted_by_the_version_that_they_were_stored_in() -> None:
    found = served(version("v1", a=TEXT, n=NUMBER), version("v2", storage=True, a=TEXT, b=TEXT))
    reader = found["v2"].reader
    assert reader is not None
    old = {"apiVersion": "example.com/v1", "metadata": {"name": "x"}, "spec": {"a": "1", "b": "2", "gone": 1}}
    assert reader(old)["spec"] == {"a": "1", "n": 3}
    new = {"apiVersion": "example.com/v2", "metadata": {"name": "x"}, "spec": {"a": "1", "b": "2", "n": 1}}
    assert reader(new)["spec"] == {"a": "1", "b": "2"}


def test_conversion_renames_and_prunes() -> None:
    found = served(version("v1", a=TEXT, n=NUMBER), version("v2", storage=True, a=TEXT, b=TEXT))
    conversion = found["v1"].conversion
    assert conversion is not None
    stored = {"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {}, "spec": {"a": "1", "b": "2"}}
    shown = conversion.from_stored(orjson.loads(orjson.dumps(stored)))
    assert (shown["apiVersion"], shown["spec"]) == ("example.com/v1", {"a": "1"})
    written = conversion.to_stored({**shown, "spec": {"a": "1", "n": 4}})
    assert (written["apiVersion"], written["spec"]) == ("example.com/v2", {"a": "1"})
    assert not found["v1"].is_plain


def test_the_cache_indexes_the_fields_of_every_version() -> None:
    one, two = version("v1", a=TEXT), version("v2", storage=True, a=TEXT, b=TEXT)
    one["selectableFields"] = [{"jsonPath": ".spec.a"}]
    two["selectableFields"] = [{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.b"}]
    found = served(one, two)
    assert found["v1"].indexed == found["v2"].indexed == ("spec.a", "spec.b")


def test_a_deprecated_version_names_the_newest_that_is_not() -> None:
    old, older = version("v1alpha1", a=TEXT), version("v1", a=TEXT)
    old["deprecated"] = True
    found = served(
        old, version("v1beta3", storage=True, a=TEXT), version("v1beta1", a=TEXT), version("v2", served=False)
    )
    told = found["v1alpha1"].extras["deprecationWarning"]
    assert told == "example.com/v1alpha1 Widget is deprecated; use example.com/v1beta3 Widget"
    older["deprecated"] = True
    found = served(older, version("v1beta3", storage=True, a=TEXT))
    assert found["v1"].extras["deprecationWarning"] == "example.com/v1 Widget is deprecated"
    older["deprecationWarning"] = "do not"
    assert served(older, version("v2", storage=True))["v1"].extras["deprecationWarning"] == "do not"


def test_subresources_are_shown_in_upstreams_order() -> None:
    paths = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}
    both = version("v1", storage=True) | {"subresources": {"scale": paths, "status": {}}}
    assert served(both)["v1"].resource.subresources == ("status", "scale")
