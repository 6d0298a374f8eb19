"""Who owns the replicas of an object, written as the object and as its Scale."""

from __future__ import annotations

from typing import Any

from keelson.api.patches import scale_ownership

REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}


def entry(manager: str, fields: dict[str, Any], operation: str = "Update", **more: str) -> dict[str, Any]:
    version = more.pop("version", "apps/v1")
    made = {"manager": manager, "operation": operation, "apiVersion": version, "fieldsType": "FieldsV1"}
    return {**made, "fieldsV1": fields, **more}


def path_of(version: str) -> Any:
    return scale_ownership.path_set(".spec.replicas") if version == "apps/v1" else None


def test_a_scale_shows_who_owns_the_replicas() -> None:
    found = scale_ownership.to_scale(
        [
            entry("applier", {"f:spec": {"f:replicas": {}, "f:x": {}}}, "Apply"),
            entry("other", {"f:spec": {"f:x": {}}}),
            entry("foreign", REPLICAS, version="apps/v0"),
        ],
        path_of,
    )
    assert found == [entry("applier", REPLICAS, "Apply", version="autoscaling/v1")]


def test_who_takes_the_replicas_by_a_scale_owns_them_as_scale() -> None:
    object_ = [entry("applier", {"f:spec": {"f:replicas": {}, "f:x": {}}}, "Apply", time="t1")]
    scale = [entry("scaler", REPLICAS, version="autoscaling/v1", time="t2", subresource="scale")]
    assert scale_ownership.to_object(object_, scale, path_of, "apps/v1") == [
        entry("applier", {"f:spec": {"f:x": {}}}, "Apply", time="t1"),
        entry("scaler", REPLICAS, subresource="scale"),
    ]


def test_who_keeps_the_replicas_keeps_its_entry() -> None:
    object_ = [entry("applier", {"f:spec": {"f:replicas": {}, "f:x": {}}}, "Apply", time="t1")]
    scale = scale_ownership.to_scale(object_, path_of)
    assert scale_ownership.to_object(object_, scale, path_of, "apps/v1") == object_
