"""OpenAPI documents: that they are whole, and say what kubectl looks for in them."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from keelson.api import definitions, openapi
from keelson.api.openapi import components, merging
from keelson.api.resources import BUILT_IN, Resource

CRON_TAB = Resource(
    "stable.example.com", "v1", "CronTab", "crontabs", True, "crontab", subresources=("scale", "status")
)
CUSTOMS = {
    ("stable.example.com", "v1", "CronTab"): openapi.Custom(
        b'{"type":"object","properties":{"spec":{"type":"object","nullable":true}}}', "CronTabList"
    )
}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "$ref" and isinstance(child, str):
                yield child
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def v3(group: str, version: str) -> dict[str, Any]:
    body = openapi.document_v3([*BUILT_IN, CRON_TAB], group, version, release="v1.36.0", customs=CUSTOMS)
    assert body is not None
    document: dict[str, Any] = orjson.loads(body)
    return document


@pytest.mark.parametrize(("group", "version"), sorted({(r.group, r.version) for r in [*BUILT_IN, CRON_TAB]}))
def test_every_reference_of_v3_leads_somewhere(group: str, version: str) -> None:
    document = v3(group, version)
    schemas = document["components"]["schemas"]
    assert {r.removeprefix("#/components/schemas/") for r in references(document)} <= set(schemas)
    operations = [o for item in document["paths"].values() for m, o in item.items() if m != "parameters"]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for path, item in document["paths"].items():
        told = {parameter["name"] for parameter in item.get("parameters", []) if parameter["in"] == "path"}
        assert told == {part.strip("{}") for part in path.split("/") if part.startswith("{")}


def test_kubectl_finds_what_it_looks_for() -> None:
    document = v3("apps", "v1")
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {"fieldValidation", "dryRun", "force"} <= {parameter["name"] for parameter in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]
    schema = document["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]
    assert schema["properties"]["strategy"]["x-kubernetes-patch-strategy"] == "retainKeys"
    assert schema["properties"]["replicas"]["description"].startswith("Number of desired pods")
    assert "null" not in str(schema["properties"]["replicas"]["type"])
    deployment = document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]
    assert deployment["x-kubernetes-group-version-kind"][0]["kind"] == "Deployment"


def test_properties_tell_of_enumerations_and_defaults() -> None:
    restart = {"type": "string", "enum": ["Always", "Never", "OnFailure"]}
    for schemas in (
        v3("", "v1")["components"]["schemas"],
        openapi.swagger(BUILT_IN, release="v1.36.0")["definitions"],
    ):
        found = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"]
        description = found.pop("description")
        assert found == restart
        assert description.endswith('\n\nPossible enum values:\n - `"Always"`\n - `"Never"`\n - `"OnFailure"`')
        modes = schemas["io.k8s.api.core.v1.PersistentVolumeClaimSpec"]["properties"]["accessModes"]["items"]
        assert modes.pop("default", "") == ""
        assert modes == {
            "type": "string",
            "enum": ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"],
        }


def test_only_v3_has_defaults() -> None:
    kind = "io.k8s.api.core.v1.ContainerPort"
    assert v3("", "v1")["components"]["schemas"][kind]["properties"]["protocol"]["default"] == "TCP"
    assert "default" not in openapi.swagger(BUILT_IN, release="v1.36.0")["definitions"][kind]["properties"]["protocol"]
    # A reference with anything beside it is wrapped; with nothing, it is not.
    spec = v3("", "v1")["components"]["schemas"]["io.k8s.api.core.v1.PodList"]["properties"]["items"]["items"]
    assert spec == {"default": {}, "allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Pod"}]}


def test_unserved_versions_have_no_document() -> None:
    assert openapi.document_v3(BUILT_IN, "apps", "v2", release="v1.36.0") is None


def test_the_index_changes_with_what_is_served() -> None:
    plain = openapi.index_v3(BUILT_IN)["paths"]
    assert plain == openapi.index_v3(reversed(BUILT_IN))["paths"]
    assert plain["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1?hash=")
    custom = openapi.index_v3([*BUILT_IN, CRON_TAB], CUSTOMS)["paths"]
    assert custom["apis/apps/v1"] == plain["apis/apps/v1"]
    other = {key: openapi.Custom(b'{"type":"object"}', "CronTabList") for key in CUSTOMS}
    changed = openapi.index_v3([*BUILT_IN, CRON_TAB], other)["paths"]
    assert changed["apis/stable.example.com/v1"] != custom["apis/stable.example.com/v1"]


def test_the_index_changes_with_what_documents_say(monkeypatch: pytest.MonkeyPatch) -> None:
    before = openapi.index_v3(BUILT_IN)["paths"]
    monkeypatch.setattr(definitions, "details", dict)
    assert not before.items() & openapi.index_v3(BUILT_IN)["paths"].items()


def test_custom_resources_are_described() -> None:
    schemas = v3("stable.example.com", "v1")["components"]["schemas"]
    found = schemas["com.example.stable.v1.CronTab"]
    assert set(found["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert found["x-kubernetes-group-version-kind"][0]["kind"] == "CronTab"
    assert "com.example.stable.v1.CronTabList" in schemas
    # What kubectl explain tells of every object.
    assert found["properties"]["apiVersion"]["description"].startswith("APIVersion defines the versioned schema")
    assert found["properties"]["metadata"]["description"].startswith("Standard object's metadata")


def test_swagger_is_whole() -> None:
    document = openapi.swagger(BUILT_IN, release="v1.36.0", custom_kinds=True)
    for field, more in openapi.swagger_of([CRON_TAB], CUSTOMS, components.common_properties(v3=False)).items():
        assert more
        assert not set(more) & set(document[field])
        document[field].update(more)
    assert {r.removeprefix("#/definitions/") for r in references(document)} <= set(document["definitions"])
    custom = document["definitions"]["com.example.stable.v1.CronTab"]
    assert "nullable" not in str(custom)
    quantity = document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["type"] == "string"


def test_swagger_lets_a_kind_be_that_keeps_unknown_fields() -> None:
    loose = {
        key: openapi.Custom(b'{"type":"object","x-kubernetes-preserve-unknown-fields":true}', "") for key in CUSTOMS
    }
    document = openapi.swagger_of([CRON_TAB], loose, components.common_properties(v3=False))
    assert document["definitions"]["com.example.stable.v1.CronTab"] == {
        "type": "object",
        "x-kubernetes-group-version-kind": [{"group": "stable.example.com", "version": "v1", "kind": "CronTab"}],
    }


def test_paths_take_no_empty_lists_of_parameters() -> None:
    document = orjson.loads(openapi.document_v3(BUILT_IN, "apps", "v1", release="v1.36.0") or b"{}")
    assert [item for item in document["paths"].values() if item.get("parameters") == []] == []


def test_another_servers_swagger_brings_what_its_paths_need_under_names_of_its_own() -> None:
    def refers(name: str) -> dict[str, Any]:
        return {"$ref": f"#/definitions/{name}"}

    own: dict[str, Any] = {
        "paths": {"/api/v1/pods": {}},
        "definitions": {"Meta": {"type": "object"}, "Same": {"x-kubernetes-group-version-kind": [1], "type": "string"}},
    }
    other: dict[str, Any] = {
        "paths": {
            "/apis/example.com/v1/things": {"get": {"schema": refers("Thing")}},
            "/apis/other.com/v1/things": {"get": {"schema": refers("Other")}},
            "/healthz": {},
        },
        "definitions": {
            "Thing": {"properties": {"meta": refers("Meta"), "same": refers("Same"), "again": refers("Thing")}},
            "Meta": {"type": "object", "properties": {"name": {"type": "string"}}},
            "Same": {"type": "string"},
            "Other": {},
        },
    }
    part = merging.selected(other, "/apis/example.com/v1/")
    assert sorted(part["definitions"]) == ["Meta", "Same", "Thing"]
    merging.merge(own, part)
    assert sorted(own["paths"]) == ["/api/v1/pods", "/apis/example.com/v1/things"]
    assert own["definitions"]["Meta"] == {"type": "object"}
    assert own["definitions"]["Meta_v2"] == other["definitions"]["Meta"]
    assert own["definitions"]["Thing"]["properties"] == {
        "meta": refers("Meta_v2"),
        "same": refers("Same"),
        "again": refers("Thing"),
    }
