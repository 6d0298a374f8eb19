"""The rules for where a pod may run: node and pod affinity, tolerations, node selectors (core/v1)."""

from __future__ import annotations

from keelson.api.meta import Object
from keelson.api.validation import causes, names
from keelson.api.validation.causes import Causes
from keelson.api.validation.selectors import label_selector as selector

__all__ = ["affinity", "node_selector", "selector", "tolerations"]

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _requirement(out: Causes, path: str, requirement: Object) -> None:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    match operator:
        case "In" | "NotIn":
            if not values:
                out.append(causes.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        case "Exists" | "DoesNotExist":
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                out.append(causes.forbidden(f"{path}.values", detail))
        case "Gt" | "Lt":
            if len(values) != 1:
                detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                out.append(causes.required(f"{path}.values", detail))
        case _:
            out.append(causes.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    complaint = names.qualified_name(requirement.get("key") or "")
    if complaint:
        out.append(causes.invalid(f"{path}.key", requirement.get("key") or "", complaint))


def _term(out: Causes, path: str, term: Object) -> None:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        _requirement(out, f"{path}.matchExpressions[{index}]", requirement)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        where = f"{path}.matchFields[{index}]"
        if requirement.get("operator") not in ("In", "NotIn"):
            out.append(
                causes.invalid(f"{where}.operator", requirement.get("operator"), "not a valid selector operator")
            )
        elif len(requirement.get("values") or ()) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            out.append(causes.required(f"{where}.values", detail))
        if requirement.get("key") != "metadata.name":
            out.append(causes.invalid(f"{where}.key", requirement.get("key"), "not a valid field selector key"))


def node_selector(out: Causes, path: str, found: Object) -> None:
    """A NodeSelector."""
    terms = found.get("nodeSelectorTerms")
    if not terms:
        out.append(causes.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))
    for index, term in enumerate(terms or ()):
        _term(out, f"{path}.nodeSelectorTerms[{index}]", term)


def _weight(out: Causes, path: str, weighted: Object) -> None:
    weight = weighted.get("weight") or 0
    if not 1 <= weight <= 100:
        out.append(causes.invalid(f"{path}.weight", weight, "must be in the range 1-100"))


def _pod_term(out: Causes, path: str, term: Object) -> None:
    selector(out, f"{path}.labelSelector", term.get("labelSelector"))
    selector(out, f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for index, namespace in enumerate(term.get("namespaces") or ()):
        complaint = names.dns_label(namespace)
        if complaint:
            out.append(causes.invalid(f"{path}.namespaces[{index}]", namespace, complaint))
    key = term.get("topologyKey")
    if not key:
        out.append(causes.required(f"{path}.topologyKey", "can not be empty"))
    else:
        complaint = names.qualified_name(key)
        if complaint:
            out.append(causes.invalid(f"{path}.topologyKey", key, complaint))


def affinity(out: Causes, path: str, found: Object) -> None:
    """An Affinity: of nodes, and of pods either way."""
    node = found.get("nodeAffinity")
    if node:
        if _REQUIRED in node:
            node_selector(out, f"{path}.nodeAffinity.{_REQUIRED}", node[_REQUIRED])
        for index, preferred in enumerate(node.get(_PREFERRED) or ()):
            where = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
            _weight(out, where, preferred)
            _term(out, f"{where}.preference", preferred.get("preference") or {})
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = found.get(kind)
        if terms:
            for index, term in enumerate(terms.get(_REQUIRED) or ()):
                _pod_term(out, f"{path}.{kind}.{_REQUIRED}[{index}]", term)
            for index, weighted in enumerate(terms.get(_PREFERRED) or ()):
                where = f"{path}.{kind}.{_PREFERRED}[{index}]"
                _weight(out, where, weighted)
                _pod_term(out, f"{where}.podAffinityTerm", weighted.get("podAffinityTerm") or {})


def tolerations(out: Causes, path: str, found: list[Object]) -> None:
    """A pod's tolerations."""
    for index, toleration in enumerate(found):
        where = f"{path}[{index}]"
        key, operator = toleration.get("key"), toleration.get("operator") or "Equal"
        effect = toleration.get("effect")
        if key:
            complaint = names.qualified_name(key)
            if complaint:
                out.append(causes.invalid(f"{where}.key", key, complaint))
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            out.append(causes.invalid(f"{where}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            out.append(causes.invalid(f"{where}.effect", effect or "", detail))
        if operator == "Exists":
            if toleration.get("value"):
                detail = "value must be empty when `operator` is 'Exists'"
                out.append(causes.invalid(f"{where}.operator", toleration["value"], detail))
        elif operator == "Equal":
            complaint = names.label_value(toleration.get("value") or "")
            if complaint:
                out.append(causes.invalid(f"{where}.operator", toleration.get("value"), complaint))
        else:
            out.append(causes.unsupported(f"{where}.operator", operator, ("Equal", "Exists")))
        if effect and effect not in _EFFECTS:
            out.append(causes.unsupported(f"{where}.effect", effect, _EFFECTS))
