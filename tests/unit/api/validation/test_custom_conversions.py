"""What a CRD may say of conversion, and what is let be because it was there before."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from keelson.api.validation import custom_conversions
from keelson.api.validation.causes import Causes

CLIENT = "spec.conversion.webhookClientConfig"
REVIEWS = "spec.conversion.conversionReviewVersions"
GOOD = {"url": "https://example.com/convert"}
PEM = base64.b64encode(
    b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(b"\x30\x03abc") + b"\n-----END CERTIFICATE-----\n"
).decode()
NO_PEM = base64.b64encode(b"no certificate").decode()


def complaints(conversion: Any, *, any_bundle: bool = False, any_review: bool = False) -> list[tuple[str, str]]:
    out: Causes = []
    custom_conversions.check(out, {"conversion": conversion}, any_bundle=any_bundle, any_review=any_review)
    return [(cause["field"], cause["message"]) for cause in out]


def webhook(client: Any, *versions: str) -> dict[str, Any]:
    return {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": list(versions)}}


def test_what_is_fine() -> None:
    assert complaints(None) == []
    assert complaints({"strategy": "None"}) == []
    assert complaints(webhook({**GOOD, "caBundle": PEM}, "v1", "v1beta1")) == []
    assert complaints(webhook({"service": {"namespace": "n", "name": "s", "port": 443, "path": "/c"}}, "v1")) == []


@pytest.mark.parametrize(
    ("conversion", "expected"),
    [
        ({"strategy": "Other"}, ("spec.conversion.strategy", "Unsupported value")),
        ({"strategy": "None", "webhook": {}}, (CLIENT, "Forbidden: should not be set when strategy is not set to")),
        (
            {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}},
            (CLIENT, "Required value"),
        ),
        (webhook({}, "v1"), (CLIENT, "Required value: exactly one of url or service is required")),
        (webhook({"url": "http://e.com"}, "v1"), (f"{CLIENT}.url", "Invalid value: \"http\": 'https' is the only")),
        (webhook({**GOOD, "caBundle": NO_PEM}, "v1"), (f"{CLIENT}.caBundle", "Invalid value")),
        (webhook(GOOD), (REVIEWS, "Required value")),
        (webhook(GOOD, "v2"), (REVIEWS, 'Invalid value: ["v2"]: must include at least one of v1, v1beta1')),
        (webhook(GOOD, "v1", "v1"), (f"{REVIEWS}[1]", 'Invalid value: "v1": duplicate version')),
    ],
)
def test_what_is_not(conversion: Any, expected: tuple[str, str]) -> None:
    ((field, message),) = complaints(conversion)
    assert field == expected[0]
    assert message.startswith(expected[1])


def test_an_older_object_may_keep_what_it_has() -> None:
    bad = {"spec": {"conversion": webhook({**GOOD, "caBundle": NO_PEM}, "v2")}}
    established = {"status": {"conditions": [{"type": "Established", "status": "True"}]}}
    assert custom_conversions.allows_any_bundle({**bad, **established})
    assert custom_conversions.allows_any_bundle({"spec": {}})
    assert not custom_conversions.allows_any_bundle({"spec": {}, **established})
    assert custom_conversions.allows_any_review(bad)
    assert not custom_conversions.allows_any_review({"spec": {}})
    assert complaints(bad["spec"]["conversion"], any_bundle=True, any_review=True) == []
