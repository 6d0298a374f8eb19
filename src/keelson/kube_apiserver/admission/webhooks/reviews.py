"""AdmissionReviews: what a webhook is sent, and what it may answer (admission.k8s.io/v1 and v1beta1). Pure.

Sending v1beta1 is for webhooks that name no newer version; an answer must be in the version that was asked in.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from keelson.api import errors
from keelson.api.meta import Object

_GROUP = "admission.k8s.io"
_KNOWN = ("v1", "v1beta1")


class ReviewError(Exception):
    """An answer that is none; the message is upstream's."""


class Response(NamedTuple):
    """What a webhook answered. `patch` is a JSON patch, None where it has none."""

    allowed: bool
    status: Object
    patch: list[Any] | None
    warnings: list[str]
    annotations: dict[str, str]


def version(accepted: tuple[str, ...]) -> str:
    """The first version of a webhook's that is known here. Raises ReviewError."""
    for each in accepted:
        if each in _KNOWN:
            return each
    raise ReviewError("webhook does not accept known AdmissionReview versions (v1, v1beta1)")


def encoded(version: str, uid: str, request: Mapping[str, Any], obj: Object | None, old: Object | None) -> bytes:
    """The review's JSON."""
    review = {
        "kind": "AdmissionReview",
        "apiVersion": f"{_GROUP}/{version}",
        "request": {"uid": uid, **request, "object": obj, "oldObject": old},
    }
    return orjson.dumps(review)


def decoded(body: bytes, version: str, uid: str, *, mutating: bool) -> Response:
    """The response in an answer to the review of this uid. Raises ReviewError."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ReviewError(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(review, dict):
        raise ReviewError(f"couldn't get version/kind; json parse error: want an object, got {type(review).__name__}")
    response = review.get("response")
    if response is None:
        raise ReviewError("webhook response was absent")
    if not isinstance(response, dict):
        raise ReviewError("webhook response is no object")
    if version == "v1":
        if response.get("uid") != uid:
            raise ReviewError(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
        wanted = f"{_GROUP}/v1, Kind=AdmissionReview"
        found = f"{review.get('apiVersion') or ''}, Kind={review.get('kind') or ''}"
        if found == f"{_GROUP}/v1beta1, Kind=AdmissionReview":
            raise ReviewError("converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion")
        if found != wanted:
            raise ReviewError(f"expected webhook response of {wanted}, got {found}")
    patch = _patch(response, version, mutating=mutating)
    return Response(
        _field(response, "allowed", bool, False),
        _field(response, "status", dict, {}),
        patch,
        _texts(response, "warnings"),
        _annotations(response),
    )


def _field(response: Object, name: str, kind: type, default: Any) -> Any:
    value = response.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ReviewError(f"json: cannot unmarshal {type(value).__name__} into response.{name}")
    return value


def _texts(response: Object, name: str) -> list[str]:
    found = _field(response, name, list, [])
    if not all(isinstance(each, str) for each in found):
        raise ReviewError(f"json: response.{name} must hold strings")
    return list(found)


def _annotations(response: Object) -> dict[str, str]:
    found = _field(response, "auditAnnotations", dict, {})
    if not all(isinstance(each, str) for each in found.values()):
        raise ReviewError("json: response.auditAnnotations must hold strings")
    return dict(found)


def _patch(response: Object, version: str, *, mutating: bool) -> list[Any] | None:
    text, kind = _field(response, "patch", str, ""), response.get("patchType")
    if version == "v1":
        if not mutating and text:
            raise ReviewError("validating webhook may not return response.patch")
        if not mutating and kind is not None:
            raise ReviewError("validating webhook may not return response.patchType")
        if text and kind is None:
            raise ReviewError("webhook returned response.patch but not response.patchType")
        if not text and kind is not None:
            raise ReviewError("webhook returned response.patchType but not response.patch")
        if kind == "":
            raise ReviewError('webhook returned invalid response.patchType of ""')
        if kind not in (None, "JSONPatch"):
            raise ReviewError(f'unsupported patch type "{kind}"')
    if not text or not mutating:
        return None
    try:
        operations = orjson.loads(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise ReviewError(f"received undecodable patch in webhook response: {error}") from error
    if not isinstance(operations, list):
        raise ReviewError("received undecodable patch in webhook response: a JSON patch is an array of operations")
    return operations or None


def refusal(name: str, status: Object) -> errors.StatusError:
    """The error by which a webhook's refusal is told; what it leaves out is a plain 400."""
    code, message, reason = status.get("code"), status.get("message"), status.get("reason")
    details = status.get("details")
    told = f'admission webhook "{name}" denied the request'
    if message or reason:
        told += f": {message or reason}"
    else:
        told += " without explanation"
    return errors.StatusError(
        code if type(code) is int and 400 <= code < 600 else 400,
        str(reason or ""),
        told,
        details if isinstance(details, dict) else None,
    )
