"""The rules for admission policies and their bindings (KEP-3488, KEP-3962); every expression is compiled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.api.validation import admissions, causes, names, selectors
from keelson.api.validation.causes import Causes

if TYPE_CHECKING:
    from keelson.api.cel.environments import Environment
    from keelson.api.cel.types import Type

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Audit", "Deny", "Warn")
_NOT_FOUND = ("Allow", "Deny")
_PATCHES = ("ApplyConfiguration", "JSONPatch")
_MUTABLE = ("*", "CONNECT", "CREATE", "UPDATE")
_MOST_ANNOTATIONS = 20
_MOST_VALUE_EXPRESSION = 5 * 1024
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_NO_VALIDATIONS = "validations or auditAnnotations must contain at least one item"


def _expression(
    out: Causes, path: str, text: str, environment: Environment, *returns: Type, authorizes: bool = True,
    patches: bool = False,
) -> None:  # fmt: skip
    from keelson.api.cel.environments import ExpressionError

    try:
        environment.compile(text, *returns, authorizes=authorizes, patches=patches)
    except ExpressionError as error:
        out.append(causes.invalid(path, text, str(error)))


def _policy(out: Causes, obj: Object, old: Object) -> Environment:
    """What both kinds of policies state; the environment of the expressions that follow."""
    from keelson.api.cel.environments import Environment

    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    failure = spec.get("failurePolicy")
    if failure is None:
        out.append(causes.required("spec.failurePolicy"))
    admissions.choice(out, "spec.failurePolicy", failure, admissions.FAILURES)
    kind = spec.get("paramKind")
    if kind is not None:
        _param_kind(out, "spec.paramKind", kind)
    constraints = spec.get("matchConstraints")
    if constraints is None:
        out.append(causes.required("spec.matchConstraints"))
    else:
        admissions.match_resources(out, "spec.matchConstraints", constraints)
        if not constraints.get("resourceRules"):
            out.append(causes.required("spec.matchConstraints.resourceRules"))
    conditions = spec.get("matchConditions") or []
    unchanged = bool(before) and all(before.get(f) == spec.get(f) for f in ("paramKind", "matchConditions"))
    if not unchanged:
        admissions.match_conditions(out, "spec.matchConditions", conditions, Environment(has_params=kind is not None))
    environment = Environment(has_params=kind is not None, composes=True)
    for index, variable in enumerate(spec.get("variables") or ()):
        _variable(out, f"spec.variables[{index}]", variable, environment)
    return environment


def _param_kind(out: Causes, path: str, kind: Mapping[str, Any]) -> None:
    version = kind.get("apiVersion") or ""
    if not version:
        out.append(causes.required(f"{path}.apiVersion"))
    elif version.count("/") > 1:
        out.append(causes.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, name = version.rpartition("/")
        if group and (complaint := names.dns_subdomain(group)):
            out.append(causes.invalid(f"{path}.apiVersion", group, complaint))
        if not name:
            out.append(causes.invalid(f"{path}.apiVersion", version, "version must be specified"))
        elif complaint := names.dns_1035_label(name):
            out.append(causes.invalid(f"{path}.apiVersion", name, complaint))
    word = kind.get("kind") or ""
    if not word:
        out.append(causes.required(f"{path}.kind"))
    elif complaint := names.dns_1035_label(word.lower()):
        why = f"may have mixed case, but should otherwise match: {complaint}"
        out.append(causes.invalid(f"{path}.kind", word, why))


def _variable(out: Causes, path: str, variable: Mapping[str, Any], environment: Environment) -> None:
    name, text = variable.get("name") or "", variable.get("expression") or ""
    if not name.strip():
        out.append(causes.required(f"{path}.name", "name is not specified"))
    elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
        out.append(causes.invalid(f"{path}.name", name, "must be a valid CEL identifier"))
    if not text.strip():
        out.append(causes.required(f"{path}.expression", "expression is not specified"))
    elif problem := environment.compose(name, text):
        out.append(causes.invalid(f"{path}.expression", text, problem))


# --- validating


def create_validating(obj: Object) -> Causes:
    """A new ValidatingAdmissionPolicy."""
    return _validating(obj, {})


def update_validating(new: Object, old: Object) -> Causes:
    """A change of one."""
    return _validating(new, old)


def _validating(obj: Object, old: Object) -> Causes:
    out: Causes = []
    environment = _policy(out, obj, old)
    spec = obj.get("spec") or {}
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        out.append(causes.required("spec.validations", _NO_VALIDATIONS))
        out.append(causes.required("spec.auditAnnotations", _NO_VALIDATIONS))
    for index, validation in enumerate(validations):
        _validation(out, f"spec.validations[{index}]", validation, environment)
    if len(annotations) > _MOST_ANNOTATIONS:
        why = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        out.append(causes.invalid("spec.auditAnnotations", annotations, why))
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        path = f"spec.auditAnnotations[{index}]"
        _annotation(out, path, meta.name(obj), annotation, environment)
        key = annotation.get("key") or ""
        if key in seen:
            out.append(causes.duplicate(f"{path}.key", key))
        seen.add(key)
    return out


def _validation(out: Causes, path: str, stated: Mapping[str, Any], environment: Environment) -> None:
    from keelson.api.cel.types import BOOL, STRING

    text = stated.get("expression") or ""
    if not text.strip():
        out.append(causes.required(f"{path}.expression", "expression is not specified"))
    else:
        _expression(out, f"{path}.expression", text, environment, BOOL)
    told = stated.get("messageExpression") or ""
    if told and not told.strip():
        out.append(causes.invalid(f"{path}.messageExpression", told, "must be non-empty if specified"))
    elif told:
        _expression(out, f"{path}.messageExpression", told, environment, STRING, authorizes=False)
    message = stated.get("message") or ""
    if message and not message.strip():
        out.append(causes.invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        out.append(causes.invalid(f"{path}.message", message, "must not contain line breaks"))
    admissions.choice(out, f"{path}.reason", stated.get("reason"), _REASONS)


def _annotation(out: Causes, path: str, policy: str, stated: Mapping[str, Any], environment: Environment) -> None:
    from keelson.api.cel.types import NULL, STRING

    key, text = stated.get("key") or "", (stated.get("valueExpression") or "").strip()
    if complaint := names.qualified_name(f"{policy}/{key}"):
        out.append(causes.invalid(f"{path}.key", f"{policy}/{key}", complaint))
    if not text:
        out.append(causes.required(f"{path}.valueExpression", "valueExpression is not specified"))
    elif len(text.encode()) > _MOST_VALUE_EXPRESSION:
        why = f"must not exceed {_MOST_VALUE_EXPRESSION} bytes in length"
        out.append(causes.required(f"{path}.valueExpression", why))
    else:
        _expression(out, f"{path}.valueExpression", text, environment, STRING, NULL)


# --- mutating


def create_mutating(obj: Object) -> Causes:
    """A new MutatingAdmissionPolicy."""
    return _mutating(obj, {})


def update_mutating(new: Object, old: Object) -> Causes:
    """A change of one."""
    return _mutating(new, old)


def _mutating(obj: Object, old: Object) -> Causes:
    out: Causes = []
    environment = _policy(out, obj, old)
    spec = obj.get("spec") or {}
    _mutable(out, "spec.matchConstraints", spec.get("matchConstraints") or {})
    mutations = spec.get("mutations") or []
    if not mutations:
        out.append(causes.required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(mutations):
        _mutation(out, f"spec.mutations[{index}]", mutation, environment)
    policy = spec.get("reinvocationPolicy")
    if not policy:
        out.append(causes.required("spec.reinvocationPolicy"))
    else:
        admissions.choice(out, "spec.reinvocationPolicy", policy, admissions.REINVOCATIONS)
    return out


def _mutable(out: Causes, path: str, match: Mapping[str, Any]) -> None:
    for rule in match.get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            admissions.choice(out, f"{path}.resourceRules.operations", operation, _MUTABLE)


def _mutation(out: Causes, path: str, mutation: Mapping[str, Any], environment: Environment) -> None:
    from keelson.api.cel.environments import OPERATIONS, PATCHED

    kind = mutation.get("patchType") or ""
    if not kind:
        out.append(causes.required(f"{path}.patchType"))
        return
    if kind not in _PATCHES:
        out.append(causes.unsupported(f"{path}.patchType", kind, _PATCHES))
        return
    fields = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
    field = fields[kind]
    (other,) = set(fields.values()) - {field}
    stated = mutation.get(field)
    if stated is None:
        out.append(causes.required(f"{path}.{field}", f"must be specified when patchType is {kind}"))
    else:
        text, where = (stated.get("expression") or "").strip(), f"{path}.{field}.expression"
        if not text:
            out.append(causes.required(where))
        else:
            wanted = PATCHED if kind == "ApplyConfiguration" else OPERATIONS
            _expression(out, where, text, environment, wanted, patches=True)
    if mutation.get(other) is not None:
        why = f"must not be specified when patchType is {kind}"
        out.append(causes.invalid(f"{path}.{other}", f"{{{other}}}", why))


# --- bindings


def create_binding(obj: Object) -> Causes:
    """A binding of either kind."""
    out: Causes = []
    spec = obj.get("spec") or {}
    name = spec.get("policyName") or ""
    if not name:
        out.append(causes.required("spec.policyName"))
    elif complaint := names.dns_subdomain(name):
        out.append(causes.invalid("spec.policyName", name, complaint))
    if spec.get("paramRef") is not None:
        _param_ref(out, "spec.paramRef", spec["paramRef"])
    if spec.get("matchResources") is not None:
        admissions.match_resources(out, "spec.matchResources", spec["matchResources"])
    if obj.get("kind") == "MutatingAdmissionPolicyBinding":
        _mutable(out, "spec.matchResources", spec.get("matchResources") or {})
    else:
        _actions(out, "spec.validationActions", list(spec.get("validationActions") or ()))
    return out


def _param_ref(out: Causes, path: str, stated: Mapping[str, Any]) -> None:
    name, selector = stated.get("name") or "", stated.get("selector")
    if name and (complaint := names.path_segment(name)):
        out.append(causes.invalid(f"{path}.name", name, complaint))
    if selector is not None:
        selectors.label_selector(out, f"{path}.selector", selector)
    if name and selector is not None:
        for field in ("name", "selector"):
            out.append(causes.forbidden(f"{path}.{field}", "name and selector are mutually exclusive"))
    if not name and selector is None:
        out.append(causes.required(path, "one of name or selector must be specified"))
    action = stated.get("parameterNotFoundAction")
    if not action:
        out.append(causes.required(f"{path}.parameterNotFoundAction"))
    else:
        admissions.choice(out, f"{path}.parameterNotFoundAction", action, _NOT_FOUND)


def _actions(out: Causes, path: str, actions: list[str]) -> None:
    for index, action in enumerate(actions):
        admissions.choice(out, f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            out.append(causes.duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        why = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        out.append(causes.invalid(path, actions, why))
    if not actions:
        out.append(causes.required(path, "at least one validation action is required"))


_GROUP = "admissionregistration.k8s.io/v1"
CREATE = {
    (_GROUP, "ValidatingAdmissionPolicy"): create_validating,
    (_GROUP, "MutatingAdmissionPolicy"): create_mutating,
    (_GROUP, "ValidatingAdmissionPolicyBinding"): create_binding,
    (_GROUP, "MutatingAdmissionPolicyBinding"): create_binding,
}
UPDATE = {
    (_GROUP, "ValidatingAdmissionPolicy", ""): update_validating,
    (_GROUP, "MutatingAdmissionPolicy", ""): update_mutating,
}
