"""The rules for what extends the API: CRDs and API services."""

from __future__ import annotations

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.validation import causes, custom_definitions
from keelson.api.validation.causes import Causes


def create_api_service(obj: Object) -> Causes:
    """An APIService."""
    out: Causes = []
    spec = obj.get("spec") or {}
    wanted = f"{spec.get('version', '')}.{spec.get('group', '')}"
    if meta.name(obj) != wanted:
        detail = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        out.append(causes.invalid("metadata.name", meta.name(obj), detail))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            out.append(causes.invalid(f"spec.{field}", value, f"must be positive and less than {most}"))
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            detail = "local APIServices may not have a caBundle"
            out.append(causes.invalid("spec.caBundle", spec["caBundle"], detail))
        if spec.get("insecureSkipTLSVerify"):
            detail = "local APIServices may not have insecureSkipTLSVerify"
            out.append(causes.invalid("spec.insecureSkipTLSVerify", True, detail))
        return out
    for field in ("namespace", "name"):
        if not service.get(field):
            out.append(causes.required(f"spec.service.{field}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        detail = "may not be true if caBundle is present"
        out.append(causes.invalid("spec.insecureSkipTLSVerify", True, detail))
    return out


CREATE = {
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): custom_definitions.create,
    ("apiregistration.k8s.io/v1", "APIService"): create_api_service,
}
UPDATE = {
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", ""): custom_definitions.update,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "status"): custom_definitions.update_status,
}
