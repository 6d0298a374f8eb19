"""Whatever a webhook answers is read, or refused as no answer: nothing of it becomes a fault of ours."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from keelson.kube_apiserver.admission.webhooks import reviews
from keelson.kube_apiserver.admission.webhooks.reviews import ReviewError
from keelson.kube_apiserver.serving import warnings

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("uid", "allowed", "status", "patch", "patchType", "warnings", "auditAnnotations")
_RESPONSES = st.fixed_dictionaries({}, optional=dict.fromkeys(_FIELDS, _JSON))
_STATUSES = st.fixed_dictionaries({}, optional=dict.fromkeys(("code", "message", "reason", "details"), _JSON))


@given(body=st.binary(max_size=64) | _JSON.map(orjson.dumps))
def test_any_body(body: bytes) -> None:
    with contextlib.suppress(ReviewError):
        reviews.decoded(body, "v1", "u", mutating=True)


@example(response={"patch": "\u00e9"}, version="v1beta1", mutating=True)
@given(response=_RESPONSES, version=st.sampled_from(["v1", "v1beta1"]), mutating=st.booleans())
def test_any_response(response: dict[str, Any], version: str, mutating: bool) -> None:
    review = {
        "kind": "AdmissionReview",
        "apiVersion": f"admission.k8s.io/{version}",
        "response": {**response, "uid": "u"},
    }
    with contextlib.suppress(ReviewError):
        found = reviews.decoded(orjson.dumps(review), version, "u", mutating=mutating)
        assert isinstance(found.allowed, bool)
        warnings.headers(found.warnings)


@given(status=_STATUSES)
def test_any_refusal(status: dict[str, Any]) -> None:
    error = reviews.refusal("hook.example.com", status)
    assert 400 <= error.code < 600
    orjson.dumps(error.status())
