"""Schemas: that every served kind has one, that markers arrive, that CRDs give the same nodes."""

import orjson
import pytest

from keelson.api import definitions, resources, schemas
from keelson.api.schemas import MISSING, Kind


@pytest.mark.parametrize("resource", resources.BUILT_IN, ids=lambda r: f"{r.qualified}/{r.version}")
def test_every_built_in_resource_has_a_schema(resource: resources.Resource) -> None:
    schema = schemas.of(resource)
    assert schema.type == "object"
    assert "metadata" in schema.properties
    assert ("status" in schema.properties) or "status" not in resource.subresources


@pytest.mark.parametrize(
    "kind",
    [
        Kind("autoscaling/v1", "Scale"),
        Kind("policy/v1", "Eviction"),
        Kind("authentication.k8s.io/v1", "TokenRequest"),
        Kind("v1", "DeleteOptions"),
        Kind("v1", "Status"),
    ],
)
def test_kinds_of_subresources_have_schemas(kind: Kind) -> None:
    assert schemas.of(kind).properties["kind"].type == "string"


def test_unknown_kinds_are_key_errors() -> None:
    with pytest.raises(KeyError):
        schemas.of(Kind("apps/v1beta1", "Deployment"))


def test_markers_of_lists_and_patches() -> None:
    spec = schemas.of(resources.lookup("pods")).properties["spec"]
    containers = spec.properties["containers"]
    assert (containers.list_type, containers.list_map_keys, containers.merge_key) == ("map", ("name",), "name")
    assert containers.patch_strategies == {"merge"}
    assert spec.properties["volumes"].patch_strategies == {"merge", "retainKeys"}
    assert spec.properties["nodeSelector"].map_type == "atomic"
    assert containers.items is not None
    assert containers.items.properties["ports"].list_map_keys == ("containerPort", "protocol")


def test_markers_beside_a_reference_stay_on_that_field() -> None:
    deployment = schemas.of(resources.lookup("deployments.apps")).properties["spec"].properties["strategy"]
    assert deployment.patch_strategies == {"retainKeys"}
    budget = schemas.of(resources.lookup("poddisruptionbudgets.policy")).properties["spec"]
    assert budget.properties["selector"].patch_strategies == {"replace"}
    plain = schemas.of(resources.lookup("deployments.apps")).properties["spec"].properties["selector"]
    assert plain.patch_strategies == frozenset()


def test_go_types_that_share_a_json_type_are_told_apart() -> None:
    pod = schemas.of(resources.lookup("pods"))
    container = pod.properties["spec"].properties["containers"].items
    assert container is not None
    limits = container.properties["resources"].properties["limits"].additional_properties
    assert limits is not None
    assert limits.format == "quantity"
    assert pod.properties["metadata"].properties["creationTimestamp"].format == "date-time"
    lease = schemas.of(resources.lookup("leases.coordination.k8s.io")).properties["spec"]
    assert lease.properties["renewTime"].format == "micro-time"
    service = schemas.of(resources.lookup("services")).properties["spec"].properties["ports"].items
    assert service is not None
    assert service.properties["targetPort"].format == "int-or-string"
    assert schemas.of(resources.lookup("controllerrevisions.apps")).properties["data"].preserve_unknown


def test_the_schema_of_schemas_holds_itself() -> None:
    spec = schemas.of(resources.lookup("customresourcedefinitions.apiextensions.k8s.io")).properties["spec"]
    version = spec.properties["versions"].items
    assert version is not None
    node = version.properties["schema"].properties["openAPIV3Schema"]
    inner = node.properties["properties"].additional_properties
    assert inner is not None
    assert inner.properties["properties"].additional_properties is inner


def test_structural_schemas_give_the_same_nodes() -> None:
    schema = schemas.structural(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["ports"],
                    "properties": {
                        "ports": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["port"],
                            "items": {"type": "object", "properties": {"port": {"type": "integer", "minimum": 1}}},
                        },
                        "size": {"x-kubernetes-int-or-string": True, "default": "10%"},
                        "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "nullable": True},
                    },
                }
            },
        }
    )
    spec = schema.properties["spec"]
    assert spec.properties["ports"].list_map_keys == ("port",)
    assert spec.required == {"ports"}
    assert spec.properties["size"].format == "int-or-string"
    assert spec.properties["size"].default == "10%"
    assert spec.properties["ports"].default is MISSING
    assert spec.properties["extra"].preserve_unknown
    assert spec.properties["extra"].nullable
    assert schema.properties["metadata"] is schemas.object_meta()


def test_the_bundle_gets_what_the_checkout_has() -> None:
    carried = definitions.distribution()
    compact = orjson.loads(definitions.compact(carried))
    assert compact == definitions.definitions()
    assert definitions.compact(carried) == definitions.compact(carried)
    assert len(definitions.compact(carried)) < 300_000
    prose = orjson.loads(definitions.compact_descriptions(carried))
    assert prose["io.k8s.api.core.v1.Pod"][""].startswith("Pod is")
    assert "spec" in prose["io.k8s.api.core.v1.Pod"]
