"""The rules for how a CRD's objects get from version to version (apiextensions.k8s.io/v1, CustomResourceConversion).

Complaints name the fields as upstream's internal version does.
"""

from __future__ import annotations

import base64
import binascii
import re

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.validation import admissions, causes
from keelson.api.validation.causes import Causes

_PATH = "spec.conversion"
_CLIENT = f"{_PATH}.webhookClientConfig"
_REVIEWS = f"{_PATH}.conversionReviewVersions"
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END CERTIFICATE-----")
# The first byte of a certificate in DER: a SEQUENCE (X.690).
_SEQUENCE = b"\x30"


def check(out: Causes, spec: Object, *, any_bundle: bool, any_review: bool) -> None:
    """What is wrong with spec.conversion; `any_bundle` and `any_review` let be what an older object has already."""
    conversion = spec.get("conversion")
    if conversion is None:
        return
    strategy = conversion.get("strategy") or ""
    causes.one_of(out, f"{_PATH}.strategy", strategy, ("None", "Webhook"))
    webhook = conversion.get("webhook")
    if strategy != "Webhook":
        if webhook is not None:
            detail = "should not be set when strategy is not set to Webhook"
            out.append(causes.forbidden(_CLIENT, detail))
        return
    client = (webhook or {}).get("clientConfig")
    if client is None:
        out.append(causes.required(_CLIENT, "required when strategy is set to Webhook"))
    else:
        admissions.client_config(out, _CLIENT, client)
        if not any_bundle and (complaint := bundle_complaint(client.get("caBundle") or "")):
            out.append(causes.invalid(f"{_CLIENT}.caBundle", client["caBundle"], complaint))
    versions = (webhook or {}).get("conversionReviewVersions") or []
    admissions.review_versions(out, _REVIEWS, versions, recognized=not any_review, detail="")


def bundle_complaint(bundle: str) -> str:
    """What is wrong with a caBundle (base64 of PEM), "" where nothing or where there is none."""
    if not bundle.strip():
        return ""
    try:
        decoded = base64.b64decode(bundle)
        if not decoded.strip():
            return ""
        blocks = [base64.b64decode(found) for found in _CERTIFICATE.findall(decoded)]
    except binascii.Error as error:
        return f"unable to load root certificates: {error}"
    if not blocks or not all(block.startswith(_SEQUENCE) for block in blocks):
        return "unable to load root certificates: unable to parse bytes as PEM block"
    return ""


def bundle_of(definition: Object) -> str:
    """The caBundle of a CRD's conversion webhook, "" where there is none."""
    conversion = (definition.get("spec") or {}).get("conversion") or {}
    return ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("caBundle") or ""


def allows_any_bundle(old: Object) -> bool:
    """Whether an update may have a bundle that is none: the CRD serves nothing yet, or has such a one."""
    return not meta.condition_is(old, "Established") or bool(bundle_complaint(bundle_of(old)))


def allows_any_review(old: Object) -> bool:
    """Whether an update need not name a review version that is known: the CRD never did."""
    conversion = (old.get("spec") or {}).get("conversion") or {}
    versions = (conversion.get("webhook") or {}).get("conversionReviewVersions") or []
    return bool(versions) and not admissions.recognizes(versions)
