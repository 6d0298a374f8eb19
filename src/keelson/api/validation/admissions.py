"""The rules for admission webhooks, and for what webhooks and policies state alike: rules, selectors, conditions.

Expressions are compiled here, so that one that makes no sense is refused with its configuration. What a stored
configuration states already is not held against its next version where newer rules would refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keelson.api.meta import Object
from keelson.api.validation import causes, names, selectors
from keelson.api.validation.causes import Causes

if TYPE_CHECKING:
    from keelson.api.cel.environments import Environment

FAILURES = ("Fail", "Ignore")
MATCHES = ("Equivalent", "Exact")
REINVOCATIONS = ("IfNeeded", "Never")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_ALL_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_VERSIONS = ("v1", "v1beta1")
_LISTED = ", ".join(_VERSIONS)
_MOST_CONDITIONS = 64
_FORM = "; desired format: https://host[/path]"


def choice(out: Causes, path: str, value: Any, supported: Sequence[str]) -> None:
    """Appends a cause where a value is given and none of an enumeration's."""
    if value is not None and value not in supported:
        out.append(causes.unsupported(path, value, supported))


# --- rules and selectors


def rules(out: Causes, path: str, stated: Sequence[Mapping[str, Any]]) -> None:
    """RuleWithOperations, with or without names."""
    for index, rule in enumerate(stated):
        where = f"{path}[{index}]"
        _names(out, f"{where}.resourceNames", rule.get("resourceNames") or ())
        operations = list(rule.get("operations") or ())
        if not operations:
            out.append(causes.required(f"{where}.operations"))
        _alone(out, f"{where}.operations", operations, "operations")
        for number, operation in enumerate(operations):
            choice(out, f"{where}.operations[{number}]", operation, _OPERATIONS)
        for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
            values = list(rule.get(field) or ())
            if not values:
                out.append(causes.required(f"{where}.{field}"))
            _alone(out, f"{where}.{field}", values, what)
        for number, version in enumerate(rule.get("apiVersions") or ()):
            if not version:
                out.append(causes.required(f"{where}.apiVersions[{number}]"))
        _resources(out, f"{where}.resources", list(rule.get("resources") or ()))
        choice(out, f"{where}.scope", rule.get("scope"), _SCOPES)


def _names(out: Causes, path: str, stated: Sequence[str]) -> None:
    for number, name in enumerate(stated):
        if complaint := names.path_segment(name):
            out.append(causes.invalid(f"{path}[{number}]", name, complaint))
        if name in stated[:number]:
            out.append(causes.duplicate(f"{path}[{number}]", name))


def _alone(out: Causes, path: str, values: list[str], what: str) -> None:
    if len(values) > 1 and "*" in values:
        out.append(causes.invalid(path, values, f"if '*' is present, must not specify other {what}"))


def _resources(out: Causes, path: str, stated: list[str]) -> None:
    if not stated:
        out.append(causes.required(path))
    whole: set[str] = set()
    everywhere: set[str] = set()
    for number, text in enumerate(stated):
        where = f"{path}[{number}]"
        if not text:
            out.append(causes.required(where))
            continue
        resource, slash, subresource = text.partition("/")
        if not slash:
            continue
        if resource in whole:
            out.append(causes.invalid(where, text, f"if '{resource}/*' is present, must not specify {text}"))
        if subresource in everywhere:
            out.append(causes.invalid(where, text, f"if '*/{subresource}' is present, must not specify {text}"))
        if subresource == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(subresource)
    if len(stated) > 1 and "*/*" in stated:
        out.append(causes.invalid(path, stated, "if '*/*' is present, must not specify other resources"))
    if "*" in stated and any("/" not in text and text != "*" for text in stated):
        why = "if '*' is present, must not specify other resources without subresources"
        out.append(causes.invalid(path, stated, why))


def match_resources(out: Causes, path: str, stated: Mapping[str, Any]) -> None:
    """MatchResources of a policy or a binding."""
    choice(out, f"{path}.matchPolicy", stated.get("matchPolicy"), MATCHES)
    for field in ("namespaceSelector", "objectSelector"):
        selectors.label_selector(out, f"{path}.{field}", stated.get(field))
    for field in ("resourceRules", "excludeResourceRules"):
        rules(out, f"{path}.{field}", stated.get(field) or ())


def match_conditions(
    out: Causes, path: str, stated: Sequence[Mapping[str, Any]], environment: Environment | None = None
) -> None:
    """Conditions, compiled in an environment: a webhook's where none is given."""
    if not stated:
        return
    from keelson.api.cel.environments import Environment, ExpressionError

    found = environment or Environment()
    if len(stated) > _MOST_CONDITIONS:
        out.append(causes.too_many(path, len(stated), _MOST_CONDITIONS))
    seen: set[str] = set()
    for index, condition in enumerate(stated):
        where = f"{path}[{index}]"
        expression = (condition.get("expression") or "").strip()
        if not expression:
            out.append(causes.required(f"{where}.expression"))
        else:
            try:
                found.condition(expression)
            except ExpressionError as error:
                out.append(causes.invalid(f"{where}.expression", expression, str(error)))
        name = condition.get("name") or ""
        if not name:
            out.append(causes.required(f"{where}.name"))
        elif complaint := names.qualified_name(name):
            out.append(causes.invalid(f"{where}.name", name, complaint))
        if name and name in seen:
            out.append(causes.duplicate(f"{where}.name", name))
        seen.add(name)


# --- webhooks


def create_webhooks(obj: Object) -> Causes:
    """A new Mutating- or ValidatingWebhookConfiguration."""
    return _webhooks(obj, {})


def update_webhooks(new: Object, old: Object) -> Causes:
    """A change of one."""
    return _webhooks(new, old)


def _webhooks(obj: Object, old: Object) -> Causes:
    out: Causes = []
    before: list[Object] = old.get("webhooks") or []
    stated: list[Object] = obj.get("webhooks") or []
    side_effects: tuple[str, ...] = _SIDE_EFFECTS
    if any(hook.get("sideEffects") not in _SIDE_EFFECTS for hook in before):
        side_effects = _ALL_SIDE_EFFECTS
    known = [hook.get("name") for hook in before]
    unique = len(set(known)) == len(known)
    recognized = all(set(_VERSIONS) & set(hook.get("admissionReviewVersions") or _VERSIONS) for hook in before)
    same = bool(before) and [h.get("matchConditions") for h in before] == [h.get("matchConditions") for h in stated]
    seen: set[str] = set()
    for index, hook in enumerate(stated):
        path = f"webhooks[{index}]"
        _webhook(out, path, hook, side_effects)
        if obj.get("kind") == "MutatingWebhookConfiguration":
            choice(out, f"{path}.reinvocationPolicy", hook.get("reinvocationPolicy"), REINVOCATIONS)
        versions = hook.get("admissionReviewVersions") or []
        review_versions(out, f"{path}.admissionReviewVersions", versions, recognized=recognized)
        if not same:
            match_conditions(out, f"{path}.matchConditions", hook.get("matchConditions") or ())
        name = hook.get("name") or ""
        if unique and name and name in seen:
            out.append(causes.duplicate(f"{path}.name", name))
        seen.add(name)
    return out


def _webhook(out: Causes, path: str, hook: Object, side_effects: tuple[str, ...]) -> None:
    name = hook.get("name") or ""
    if not name:
        out.append(causes.required(f"{path}.name"))
    elif complaint := names.dns_subdomain(name):
        out.append(causes.invalid(f"{path}.name", name, complaint))
    elif name.count(".") < 2:
        why = "should be a domain with at least three segments separated by dots"
        out.append(causes.invalid(f"{path}.name", name, why))
    rules(out, f"{path}.rules", hook.get("rules") or ())
    choice(out, f"{path}.failurePolicy", hook.get("failurePolicy"), FAILURES)
    choice(out, f"{path}.matchPolicy", hook.get("matchPolicy"), MATCHES)
    if hook.get("sideEffects") is None:
        out.append(causes.required(f"{path}.sideEffects", f"must specify one of {', '.join(side_effects)}"))
    choice(out, f"{path}.sideEffects", hook.get("sideEffects"), side_effects)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        out.append(causes.invalid(f"{path}.timeoutSeconds", seconds, detail))
    for field in ("namespaceSelector", "objectSelector"):
        selectors.label_selector(out, f"{path}.{field}", hook.get(field))
    client_config(out, f"{path}.clientConfig", hook.get("clientConfig") or {})


def recognizes(versions: Sequence[str]) -> bool:
    """Whether a review version is among them that the server can send."""
    return bool(set(_VERSIONS) & set(versions))


def review_versions(
    out: Causes, path: str, versions: list[str], *, recognized: bool, detail: str = f"must specify one of {_LISTED}"
) -> None:
    """The versions of reviews that a webhook takes; `detail` is said where there are none."""
    if not versions:
        out.append(causes.required(path, detail))
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            out.append(causes.invalid(f"{path}[{index}]", version, "duplicate version"))
        elif complaint := names.dns_1035_label(version):
            out.append(causes.invalid(f"{path}[{index}]", version, complaint))
    if recognized and not recognizes(versions):
        out.append(causes.invalid(path, versions, f"must include at least one of {_LISTED}"))


def client_config(out: Causes, path: str, client: Object) -> None:
    """Where a webhook is: by URL or by Service."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        out.append(causes.required(path, "exactly one of url or service is required"))
    elif url is not None:
        _url(out, f"{path}.url", url)
    elif service is not None:
        _service(out, f"{path}.service", service)


def _url(out: Causes, path: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        out.append(causes.required(path, f"url must be a valid URL: {error}{_FORM}"))
        return
    if parts.scheme != "https":
        out.append(causes.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    user, at, host = parts.netloc.rpartition("@")
    if not host:
        out.append(causes.invalid(path, "", f"host must be specified{_FORM}"))
    if at:
        out.append(causes.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        out.append(causes.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        out.append(causes.invalid(path, parts.query, "query parameters are not permitted in the URL"))


def _service(out: Causes, path: str, service: Object) -> None:
    for field in ("name", "namespace"):
        if not service.get(field):
            out.append(causes.required(f"{path}.{field}"))
    port = service.get("port")
    if port is not None and (complaint := names.port_number(port)):
        out.append(causes.invalid(f"{path}.port", port, f"port is not valid: {complaint}"))
    text = service.get("path") or "/"
    if text == "/":
        return
    where = f"{path}.path"
    if not text.startswith("/"):
        out.append(causes.invalid(where, text, "must start with a '/'"))
    checked = text[1:].removesuffix("/") if text != "//" else ""
    for index, segment in enumerate(checked.split("/")):
        if not segment:
            out.append(causes.invalid(where, text, f"segment[{index}] may not be empty"))
        elif complaint := names.dns_subdomain(segment):
            out.append(causes.invalid(where, text, f"segment[{index}]: {complaint}"))


_GROUP = "admissionregistration.k8s.io/v1"
CREATE = {
    (_GROUP, "MutatingWebhookConfiguration"): create_webhooks,
    (_GROUP, "ValidatingWebhookConfiguration"): create_webhooks,
}
UPDATE = {
    (_GROUP, "MutatingWebhookConfiguration", ""): update_webhooks,
    (_GROUP, "ValidatingWebhookConfiguration", ""): update_webhooks,
}
