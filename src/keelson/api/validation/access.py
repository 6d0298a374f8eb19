"""The rules for roles and their bindings (rbac.authorization.k8s.io/v1), and for access reviews."""

from __future__ import annotations

from keelson.api.meta import Object
from keelson.api.strategies import same
from keelson.api.validation import causes, names, selectors
from keelson.api.validation.causes import Causes

_RBAC = "rbac.authorization.k8s.io"


def _rules(out: Causes, rules: list[Object], *, namespaced: bool) -> None:
    for index, rule in enumerate(rules):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            out.append(causes.required(f"{path}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                out.append(causes.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                out.append(causes.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))
            continue
        if not rule.get("apiGroups"):
            detail = "resource rules must supply at least one api group"
            out.append(causes.required(f"{path}.apiGroups", detail))
        if not rule.get("resources"):
            detail = "resource rules must supply at least one resource"
            out.append(causes.required(f"{path}.resources", detail))


def create_role(obj: Object) -> Causes:
    """A Role."""
    out: Causes = []
    _rules(out, obj.get("rules") or [], namespaced=True)
    return out


def create_cluster_role(obj: Object) -> Causes:
    """A ClusterRole."""
    out: Causes = []
    _rules(out, obj.get("rules") or [], namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        found = aggregation.get("clusterRoleSelectors") or []
        if not found:
            detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            out.append(causes.required("aggregationRule.clusterRoleSelectors", detail))
        for index, selector in enumerate(found):
            selectors.label_selector(out, f"aggregationRule.clusterRoleSelectors[{index}]", selector)
    return out


def _binding(obj: Object, kinds: tuple[str, ...], *, namespaced: bool) -> Causes:
    out: Causes = []
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != _RBAC:
        out.append(causes.unsupported("roleRef.apiGroup", reference.get("apiGroup"), (_RBAC,)))
    if reference.get("kind") not in kinds:
        out.append(causes.unsupported("roleRef.kind", reference.get("kind"), kinds))
    name = reference.get("name")
    if not name:
        out.append(causes.required("roleRef.name"))
    elif names.path_segment(name):
        out.append(causes.invalid("roleRef.name", name, names.path_segment(name)))
    for index, subject in enumerate(obj.get("subjects") or ()):
        _subject(out, f"subjects[{index}]", subject, namespaced=namespaced)
    return out


def _subject(out: Causes, path: str, subject: Object, *, namespaced: bool) -> None:
    kind, name = subject.get("kind"), subject.get("name")
    if not name:
        out.append(causes.required(f"{path}.name"))
    if kind == "ServiceAccount":
        complaint = names.dns_subdomain(name) if name else ""
        if complaint:
            out.append(causes.invalid(f"{path}.name", name, complaint))
        if subject.get("apiGroup"):
            out.append(causes.unsupported(f"{path}.apiGroup", subject["apiGroup"], ("",)))
        if not namespaced and not subject.get("namespace"):
            out.append(causes.required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if subject.get("apiGroup") != _RBAC:
            out.append(causes.unsupported(f"{path}.apiGroup", subject.get("apiGroup"), (_RBAC,)))
    else:
        out.append(causes.unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))


def create_role_binding(obj: Object) -> Causes:
    """A RoleBinding."""
    return _binding(obj, ("Role", "ClusterRole"), namespaced=True)


def create_cluster_role_binding(obj: Object) -> Causes:
    """A ClusterRoleBinding."""
    return _binding(obj, ("ClusterRole",), namespaced=False)


def _fixed_reference(new: Object, old: Object) -> Causes:
    if same(new.get("roleRef"), old.get("roleRef")):
        return []
    return [causes.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]


def update_role_binding(new: Object, old: Object) -> Causes:
    """A change of a RoleBinding: what it grants is for life."""
    return create_role_binding(new) + _fixed_reference(new, old)


def update_cluster_role_binding(new: Object, old: Object) -> Causes:
    """A change of a ClusterRoleBinding: what it grants is for life."""
    return create_cluster_role_binding(new) + _fixed_reference(new, old)


def create_access_review(obj: Object) -> Causes:
    """A SubjectAccessReview of any kind: about a resource or a path, and about somebody."""
    out: Causes = []
    spec = obj.get("spec") or {}
    both = "resourceAttributes" in spec and "nonResourceAttributes" in spec
    if both:
        detail = "cannot be specified in combination with resourceAttributes"
        out.append(causes.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], detail))
    elif "resourceAttributes" not in spec and "nonResourceAttributes" not in spec:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        out.append(causes.invalid("spec.resourceAttributes", None, detail))
    if not str(obj.get("kind")).startswith("Self") and not spec.get("user") and not spec.get("groups"):
        detail = "at least one of user or group must be specified"
        out.append(causes.invalid("spec.user", "", detail))
    return out


def create_token_review(obj: Object) -> Causes:
    """A TokenReview."""
    return [] if (obj.get("spec") or {}).get("token") else [causes.required("spec.token")]


_V1 = f"{_RBAC}/v1"
_REVIEWS = "authorization.k8s.io/v1"
CREATE = {
    (_V1, "Role"): create_role,
    (_V1, "ClusterRole"): create_cluster_role,
    (_V1, "RoleBinding"): create_role_binding,
    (_V1, "ClusterRoleBinding"): create_cluster_role_binding,
    (_REVIEWS, "SubjectAccessReview"): create_access_review,
    (_REVIEWS, "LocalSubjectAccessReview"): create_access_review,
    (_REVIEWS, "SelfSubjectAccessReview"): create_access_review,
    ("authentication.k8s.io/v1", "TokenReview"): create_token_review,
}
UPDATE = {
    (_V1, "RoleBinding", ""): update_role_binding,
    (_V1, "ClusterRoleBinding", ""): update_cluster_role_binding,
}
