"""ConversionReview: what a conversion webhook is asked, and what of its answer is taken. Pure.

A webhook converts contents, not identities: of the metadata that it returns only labels and annotations count
(apiextensions.k8s.io/v1, "Webhook conversion").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.validation import object_metadata
from keelson.api.validation.causes import Causes

_VERSIONS = ("v1", "v1beta1")


class ReviewError(Exception):
    """An answer that can't be taken; the text says why."""


def version_of(supported: Sequence[str]) -> str:
    """The first version that a webhook and this server both know. Raises ReviewError."""
    for version in supported:
        if version in _VERSIONS:
            return version
    raise ReviewError("no supported conversion review versions")


def request(version: str, uid: str, objects: Sequence[Object], wanted: str) -> bytes:
    """The review that asks for these objects in the API version `wanted`."""
    return orjson.dumps(
        {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{version}",
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": list(objects)},
        }
    )


def described(obj: Mapping[str, Any]) -> str:
    """A GroupVersionKind as messages show it."""
    return f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"


def converted(version: str, uid: str, body: bytes, originals: Sequence[Object], wanted: str) -> list[Object]:
    """The converted objects in the order of the originals. Raises ReviewError with upstream's words."""
    about = f"conversion webhook for {described(originals[0])}"
    try:
        found = _objects(version, uid, body)
    except ReviewError as error:
        raise ReviewError(f"{about} failed: {error}") from error
    if len(found) != len(originals):
        raise ReviewError(f"{about} returned {len(found)} objects, expected {len(originals)}")
    taken = []
    for index, (original, obj) in enumerate(zip(originals, found, strict=True)):
        where = f"in object at index {index}"
        try:
            _check(original, obj, wanted)
        except ReviewError as error:
            raise ReviewError(f"{about} returned invalid converted object at index {index}: {error}") from error
        try:
            taken.append(_restored(original, obj))
        except ReviewError as error:
            raise ReviewError(f"{about} returned invalid metadata {where}: {error}") from error
    return taken


def _objects(version: str, uid: str, body: bytes) -> list[Any]:
    try:
        review = orjson.loads(body)
    except ValueError as error:
        raise ReviewError(f"the answer is not JSON: {error}") from error
    if not isinstance(review, dict):
        raise ReviewError("the answer is no object")
    if version == "v1":
        wanted = "apiextensions.k8s.io/v1, Kind=ConversionReview"
        if described(review) != wanted:
            raise ReviewError(f"expected webhook response of {wanted}, got {described(review)}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise ReviewError("no response provided")
    if version == "v1" and response.get("uid") != uid:
        raise ReviewError(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result")
    status = (result.get("status") if isinstance(result, dict) else "") or ""
    if status != "Success":
        message = result.get("message") if isinstance(result, dict) else ""
        raise ReviewError(str(message) if message else f"response.result.status was '{status}', not 'Success'")
    objects = response.get("convertedObjects") or []
    if not isinstance(objects, list):
        raise ReviewError("response.convertedObjects is no list")
    return objects


def _group_version(obj: Mapping[str, Any]) -> str:
    return str(obj.get("apiVersion") or "")


def _check(original: Object, obj: Any, wanted: str) -> None:
    if not isinstance(obj, dict):
        raise ReviewError("it is no object")
    if _group_version(obj) != wanted:
        raise ReviewError(f"invalid groupVersion (expected {wanted}, received {_group_version(obj)})")
    if obj.get("kind") != original.get("kind"):
        raise ReviewError(f"invalid kind (expected {original.get('kind')}, received {obj.get('kind') or ''})")
    for title, read in (("name", meta.name), ("namespace", meta.namespace), ("UID", meta.uid)):
        if read(original) != read(obj):
            raise ReviewError(f"must have the same {title}: {read(original)} != {read(obj)}")


def _restored(original: Object, obj: Object) -> Object:
    """The converted object with the original's metadata, but for labels and annotations."""
    if "metadata" not in obj:
        raise ReviewError("missing metadata in converted object")
    told = obj["metadata"]
    metadata = dict(original.get("metadata") or {})
    for field in ("labels", "annotations"):
        value = told.get(field)
        if value is None:
            metadata.pop(field, None)
            continue
        if not isinstance(value, dict):
            raise ReviewError(f"invalid metadata.{field} of type {type(value).__name__} in converted object")
        for key, each in value.items():
            if not isinstance(each, str):
                kind = type(each).__name__
                raise ReviewError(f"metadata.{field}[{key}] must be a string, but is {kind} in converted object")
        if value != (metadata.get(field) or {}):
            _check_map(field, value)
        metadata[field] = value
    return {**obj, "metadata": metadata}


def _check_map(field: str, value: dict[str, str]) -> None:
    causes: Causes = []
    check = object_metadata.label_map if field == "labels" else object_metadata.annotation_map
    check(causes, f"metadata.{field}", value)
    if causes:
        raise ReviewError(", ".join(f"{cause['field']}: {cause['message']}" for cause in causes))
