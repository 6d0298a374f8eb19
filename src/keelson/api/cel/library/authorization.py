"""Kubernetes' authorization library: expressions may ask what the requester, or a service account, is allowed to do.

The values are descriptions of a question; `check` asks it. Who answers is the environment's: a callable that the
authorizer value carries ("Common Expression Language in Kubernetes", authorizer library). Also `jsonpatch.escapeKey`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from keelson.api.cel import types
from keelson.api.cel.functions import Function, function
from keelson.api.cel.values import EvalError
from keelson.api.validation import names

# A check may ask another server (upstream prices it so).
CHECK_COST: Final = 350_000


class Question(NamedTuple):
    """What is asked. `account` is (namespace, name) of a service account, None for the requester himself.

    `path` is set for requests that are no resource's, and then nothing else but `verb`.
    """

    account: tuple[str, str] | None
    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


class Answer(NamedTuple):
    """Whether it is allowed, why (or why not), and what went wrong in finding out."""

    allowed: bool
    reason: str = ""
    error: str = ""


Ask = Callable[[Question], Answer]


@dataclass(frozen=True, slots=True)
class AuthorizerValue:
    """The variable `authorizer`."""

    ask: Ask
    account: tuple[str, str] | None = None
    type_name: str = field(default=types.AUTHORIZER.name, init=False)


@dataclass(frozen=True, slots=True)
class _PathCheck:
    ask: Ask
    question: Question
    type_name: str = field(default=types.PATH_CHECK.name, init=False)


@dataclass(frozen=True, slots=True)
class _GroupCheck:
    ask: Ask
    question: Question
    type_name: str = field(default=types.GROUP_CHECK.name, init=False)


@dataclass(frozen=True, slots=True)
class ResourceCheck:
    """The variable `authorizer.requestResource`, and what `resource()` gives."""

    ask: Ask
    question: Question
    type_name: str = field(default=types.RESOURCE_CHECK.name, init=False)

    def narrowed(self, name: str, value: str) -> ResourceCheck:
        """The check with one more part of the question stated."""
        return replace(self, question=Question(**{**self.question._asdict(), name: value}))


@dataclass(frozen=True, slots=True)
class _Decision:
    answer: Answer
    type_name: str = field(default=types.DECISION.name, init=False)


def _path(authorizer: AuthorizerValue, path: str) -> _PathCheck:
    if not path.strip():
        raise EvalError("path must not be empty")
    return _PathCheck(authorizer.ask, Question(authorizer.account, "", path=path))


def _group(authorizer: AuthorizerValue, group: str) -> _GroupCheck:
    return _GroupCheck(authorizer.ask, Question(authorizer.account, "", group=group))


def _account(authorizer: AuthorizerValue, namespace: str, name: str) -> AuthorizerValue:
    if names.dns_subdomain(name):
        raise EvalError("Invalid service account name")
    if names.dns_label(namespace):
        raise EvalError("Invalid service account namespace")
    return AuthorizerValue(authorizer.ask, (namespace, name))


def _resource(check: _GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise EvalError("resource must not be empty")
    return ResourceCheck(check.ask, check.question._replace(resource=resource))


def _narrowed(name: str) -> Callable[[ResourceCheck, str], ResourceCheck]:
    return lambda check, value: check.narrowed(name, value)


def _checked(check: ResourceCheck | _PathCheck, verb: str) -> _Decision:
    return _Decision(check.ask(check.question._replace(verb=verb)))


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


FUNCTIONS: tuple[Function, ...] = (
    function("path", ".authorizer, string -> pathcheck", _path),
    function("group", ".authorizer, string -> groupcheck", _group),
    function("serviceAccount", ".authorizer, string, string -> authorizer", _account),
    function("resource", ".groupcheck, string -> resourcecheck", _resource),
    function("subresource", ".resourcecheck, string -> resourcecheck", _narrowed("subresource")),
    function("namespace", ".resourcecheck, string -> resourcecheck", _narrowed("namespace")),
    function("name", ".resourcecheck, string -> resourcecheck", _narrowed("name")),
    function("fieldSelector", ".resourcecheck, string -> resourcecheck", _narrowed("field_selector")),
    function("labelSelector", ".resourcecheck, string -> resourcecheck", _narrowed("label_selector")),
    function(
        "check",
        ".pathcheck, string -> decision; .resourcecheck, string -> decision",
        _checked,
        lambda _sizes: CHECK_COST,
    ),
    function("allowed", ".decision -> bool", lambda found: found.answer.allowed),
    function("reason", ".decision -> string", lambda found: found.answer.reason),
    function("errored", ".decision -> bool", lambda found: bool(found.answer.error)),
    function("error", ".decision -> string", lambda found: found.answer.error),
    function("jsonpatch.escapeKey", "string -> string", _escaped),
)
