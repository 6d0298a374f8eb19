"""Whether a FlowSchema matches a request, and which flow of it the request belongs to (KEP-1040)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from keelson.api.meta import Object
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_ACCOUNT = "system:serviceaccount:"


def matches(schema: Object, user: User, info: RequestInfo) -> bool:
    """Whether one rule of the schema names both who asks and what for."""
    for rule in (schema.get("spec") or {}).get("rules") or ():
        if not any(_is_subject(subject, user) for subject in rule.get("subjects") or ()):
            continue
        if info.is_resource:
            if any(_on_resource(each, info) for each in rule.get("resourceRules") or ()):
                return True
        elif any(_on_path(each, info) for each in rule.get("nonResourceRules") or ()):
            return True
    return False


def _is_subject(subject: dict[str, Any], user: User) -> bool:
    match subject.get("kind"):
        case "User":
            return (subject.get("user") or {}).get("name") in ("*", user.name)
        case "Group":
            name = (subject.get("group") or {}).get("name")
            return name == "*" or name in user.groups
        case "ServiceAccount":
            account = subject.get("serviceAccount") or {}
            prefix = f"{_ACCOUNT}{account.get('namespace')}:"
            if account.get("name") == "*":
                return user.name.startswith(prefix)
            return user.name == f"{prefix}{account.get('name')}"
    return False


def _has(values: Sequence[str] | None, value: str) -> bool:
    return bool(values) and (value in values or values[0] == "*")  # type: ignore[operator, index]


def _on_resource(rule: dict[str, Any], info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (
        _has(rule.get("verbs"), info.verb)
        and _has(rule.get("resources"), resource)
        and _has(rule.get("apiGroups"), info.group)
    ):
        return False
    return _has(rule.get("namespaces"), info.namespace) if info.namespace else bool(rule.get("clusterScope"))


def _on_path(rule: dict[str, Any], info: RequestInfo) -> bool:
    if not _has(rule.get("verbs"), info.verb):
        return False
    for url in rule.get("nonResourceURLs") or ():
        if url in ("*", info.path):
            return True
        # A rule for a path is one for everything below it too.
        if info.path.startswith(url.removesuffix("*").rstrip("/") + "/"):
            return True
    return False


def distinguisher(schema: Object, user: User, info: RequestInfo) -> str:
    """What tells flows of one schema apart: the user, the namespace, or nothing."""
    method = ((schema.get("spec") or {}).get("distinguisherMethod") or {}).get("type")
    return user.name if method == "ByUser" else info.namespace if method == "ByNamespace" else ""


def hand(schema: str, flow: str, queues: int, size: int) -> tuple[int, ...]:
    """The queues that a flow may wait in: `size` different ones of `queues` (shuffle sharding).

    A function of names alone, so that a flow keeps its hand; two flows share all of it with small probability.
    """
    entropy = int.from_bytes(hashlib.sha256(f"{schema}\0{flow}".encode()).digest()[:16], "big")
    left = list(range(queues))
    dealt = []
    for _ in range(min(size, queues)):
        entropy, card = divmod(entropy, len(left))
        dealt.append(left.pop(card))
    return tuple(dealt)
