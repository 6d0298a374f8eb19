"""What is taken of a conversion webhook's answer, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from keelson.kube_apiserver.extensions import reviews
from keelson.kube_apiserver.extensions.reviews import ReviewError

WANTED = "example.com/v2"


def original(**metadata: Any) -> dict[str, Any]:
    found = {"name": "a", "namespace": "n", "uid": "1", "labels": {"l": "1"}, "finalizers": ["x/y"], **metadata}
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": found, "spec": {"old": 1}}


def answer(*objects: Any, status: str = "Success", uid: str = "u", version: str = "v1", message: str = "") -> bytes:
    result = {"status": status, **({"message": message} if message else {})}
    response = {"uid": uid, "result": result, "convertedObjects": list(objects)}
    return orjson.dumps(
        {"kind": "ConversionReview", "apiVersion": f"apiextensions.k8s.io/{version}", "response": response}
    )


def changed(**metadata: Any) -> dict[str, Any]:
    return {**original(**metadata), "apiVersion": WANTED, "spec": {"new": 1}}


def test_contents_labels_and_annotations_are_taken_and_no_other_metadata() -> None:
    told = changed(labels={"l": "2"}, annotations={"a": "b"}, finalizers=[], generation=9)
    (made,) = reviews.converted("v1", "u", answer(told), [original()], WANTED)
    assert made["spec"] == {"new": 1}
    metadata = {**original()["metadata"], "labels": {"l": "2"}, "annotations": {"a": "b"}}
    assert made["metadata"] == metadata
    bare = {**changed(), "metadata": {"name": "a", "namespace": "n", "uid": "1"}}
    (made,) = reviews.converted("v1", "u", answer(bare), [original()], WANTED)
    assert "labels" not in made["metadata"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no", "failed: the answer is not JSON"),
        (b"{}", "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview"),
        (answer(changed(), uid="other"), 'failed: expected response.uid="u", got "other"'),
        (answer(status="Failure", message="no"), "failed: no"),
        (answer(status=""), "failed: response.result.status was '', not 'Success'"),
        (answer(), "returned 0 objects, expected 1"),
        (
            answer({**changed(), "apiVersion": "example.com/v3"}),
            "returned invalid converted object at index 0: invalid groupVersion (expected example.com/v2, received",
        ),
        (
            answer({**changed(), "kind": "Other"}),
            "returned invalid converted object at index 0: invalid kind (expected Thing, received Other)",
        ),
        (answer(changed(uid="2")), "returned invalid converted object at index 0: must have the same UID: 1 != 2"),
        (
            answer(changed(labels={"l": 1})),
            "returned invalid metadata in object at index 0: metadata.labels[l] must be a string",
        ),
        (answer(changed(labels={"l": "a b"})), "returned invalid metadata in object at index 0: metadata.labels:"),
    ],
)
def test_answers_that_are_refused(body: bytes, why: str) -> None:
    with pytest.raises(ReviewError) as caught:
        reviews.converted("v1", "u", body, [original()], WANTED)
    assert str(caught.value).startswith(f"conversion webhook for example.com/v1, Kind=Thing {why}")


def test_the_older_review_is_not_checked_for_what_it_never_had() -> None:
    body = answer(changed(), uid="", version="v1beta1")
    assert reviews.converted("v1beta1", "u", body, [original()], WANTED)[0]["spec"] == {"new": 1}
    assert reviews.version_of(["v2", "v1beta1", "v1"]) == "v1beta1"
    with pytest.raises(ReviewError):
        reviews.version_of(["v2"])
