"""AdmissionReviews: which version is sent, and which answers are none."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from keelson.kube_apiserver.admission.webhooks import reviews
from keelson.kube_apiserver.admission.webhooks.reviews import ReviewError


def _answer(response: Any, version: str = "v1", **more: Any) -> bytes:
    review = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "response": response, **more}
    return orjson.dumps(review)


def _patch(operations: Any) -> dict[str, Any]:
    return {"uid": "u", "allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(operations).decode()}


def test_the_first_known_version_is_sent() -> None:
    assert reviews.version(("v2", "v1beta1", "v1")) == "v1beta1"
    with pytest.raises(ReviewError, match="does not accept known AdmissionReview versions"):
        reviews.version(("v2",))
    sent = orjson.loads(reviews.encoded("v1beta1", "u", {"operation": "CREATE"}, {"a": 1}, None))
    assert sent == {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1beta1",
        "request": {"uid": "u", "operation": "CREATE", "object": {"a": 1}, "oldObject": None},
    }


def test_a_whole_answer_is_read() -> None:
    body = _answer({**_patch(b'[{"op": "remove", "path": "/a"}]'), "warnings": ["w"], "auditAnnotations": {"k": "v"}})
    found = reviews.decoded(body, "v1", "u", mutating=True)
    assert found == (True, {}, [{"op": "remove", "path": "/a"}], ["w"], {"k": "v"})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "couldn't get version/kind; json parse error"),
        (b"[]", "want an object"),
        (_answer(None), "webhook response was absent"),
        (_answer([]), "webhook response is no object"),
        (_answer({"uid": "other"}), 'expected response.uid="u", got "other"'),
        (_answer({"uid": "u"}, kind="Other"), "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview"),
        (_answer({"uid": "u"}, "v1beta1"), "unknown conversion"),
        (_answer({"uid": "u", "allowed": "yes"}), "cannot unmarshal str into response.allowed"),
        (_answer({"uid": "u", "warnings": [1]}), "response.warnings must hold strings"),
        (_answer({"uid": "u", "patch": "W10="}), "response.patch but not response.patchType"),
        (_answer({"uid": "u", "patchType": "JSONPatch"}), "response.patchType but not response.patch"),
        (_answer({"uid": "u", "patch": "W10=", "patchType": "Merge"}), 'unsupported patch type "Merge"'),
        (_answer(_patch(b"{")), "received undecodable patch"),
        (_answer(_patch(b"{}")), "a JSON patch is an array of operations"),
    ],
)
def test_an_answer_that_is_none_is_told(body: bytes, why: str) -> None:
    with pytest.raises(ReviewError) as caught:
        reviews.decoded(body, "v1", "u", mutating=True)
    assert why in str(caught.value)


def test_who_only_validates_may_not_patch() -> None:
    with pytest.raises(ReviewError, match=r"validating webhook may not return response\.patch"):
        reviews.decoded(_answer(_patch(b"[]")), "v1", "u", mutating=False)


def test_an_older_answer_is_not_held_to_the_newer_rules() -> None:
    body = _answer({"allowed": True, "patch": base64.b64encode(b'[{"op":"remove","path":"/a"}]').decode()}, "v1beta1")
    assert reviews.decoded(body, "v1beta1", "u", mutating=True).patch == [{"op": "remove", "path": "/a"}]
    assert reviews.decoded(body, "v1beta1", "u", mutating=False).patch is None


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({"message": "no"}, 400, ": no"),
        ({"reason": "Policy", "code": 422}, 422, ": Policy"),
        ({}, 400, " without explanation"),
        ({"code": 200, "message": "fine"}, 400, ": fine"),
    ],
)
def test_a_refusal_has_the_webhooks_words(status: dict[str, Any], code: int, message: str) -> None:
    error = reviews.refusal("hook.example.com", status)
    assert (error.code, error.message) == (code, f'admission webhook "hook.example.com" denied the request{message}')
