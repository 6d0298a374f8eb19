"""Objects that another server has stored in another version than ours, in the version in which we keep them.

Upstream writes most kinds in the version that we keep as well. What differs: resource definitions, which it still keeps
as apiextensions.k8s.io/v1beta1, and kinds that came out of beta lately, which it keeps in their last beta until a
rollback no longer has to read them; those betas have the shape of v1. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keelson.api.meta import Object

from . import conversions

_V1 = "apiextensions.k8s.io/v1"
# What v1beta1 may say for all versions at once, and v1 says for each.
_OF_EACH_VERSION = {
    "subresources": "subresources",
    "validation": "schema",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}


def _definition(obj: Object) -> Object:
    """A CustomResourceDefinition of v1beta1 as one of v1."""
    spec: dict[str, Any] = dict(obj.get("spec") or {})
    first = spec.pop("version", None)
    versions = [dict(each) for each in spec.get("versions") or []]
    if not versions and first:
        versions = [{"name": first, "served": True, "storage": True}]
    for field, own in _OF_EACH_VERSION.items():
        common = spec.pop(field, None)
        for version in versions:
            if common is not None:
                version[own] = common
    for version in versions:
        columns = version.get("additionalPrinterColumns")
        if columns:
            version["additionalPrinterColumns"] = [
                {("jsonPath" if key == "JSONPath" else key): value for key, value in column.items()}
                for column in columns
            ]
    spec["versions"] = versions
    if spec.get("preserveUnknownFields") is False:
        # The zero of v1, where it is the default; v1beta1's is true, and always written out.
        del spec["preserveUnknownFields"]
    conversion = dict(spec.get("conversion") or {})
    if conversion:
        client, reviews = conversion.pop("webhookClientConfig", None), conversion.pop("conversionReviewVersions", None)
        if client is not None or reviews:
            webhook = {"clientConfig": client, "conversionReviewVersions": reviews}
            conversion["webhook"] = {key: value for key, value in webhook.items() if value is not None}
        spec["conversion"] = conversion
    return {**obj, "apiVersion": _V1, "spec": spec}


_CONVERSIONS: dict[tuple[str, str], Callable[[Object], Object]] = {
    ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"): _definition,
    **{
        (api_version, kind): conversion.to_stored
        for (api_version, kind), conversion in conversions.BUILT_IN.items()
        if conversion.stored != api_version
    },
}


def current(obj: Object, api_version: str) -> Object:
    """The stored object in the version in which its kind is kept here."""
    found = obj.get("apiVersion")
    if found == api_version:
        return obj
    convert = _CONVERSIONS.get((str(found), str(obj.get("kind"))))
    return {**obj, "apiVersion": api_version} if convert is None else convert(obj)
