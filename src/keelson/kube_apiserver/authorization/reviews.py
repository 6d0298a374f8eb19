"""Reviews: requests in the form of objects that ask who somebody is or what he may do.

SubjectAccessReview and its kin (authorization.k8s.io), TokenReview and SelfSubjectReview (authentication.k8s.io). They
are answered and not stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.kube_apiserver.admission.chains import CREATE, Attributes, Chain
from keelson.kube_apiserver.authentication.unions import TokenReader, authenticated
from keelson.kube_apiserver.encodings.bodies import read
from keelson.kube_apiserver.handlers import Special
from keelson.kube_apiserver.registry.catalogues import Served
from keelson.kube_apiserver.registry.contexts import Context, User
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from .rbac import Rbac
from .unions import MASTERS, Authorizer, decided

_ALL_RULES: list[Mapping[str, Any]] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def _read(context: Context, request: Request, served: Served) -> Object:
    if context.info.verb != "create":
        raise errors.method_not_allowed(context.info.verb, served.resource.qualified)
    review = read(context, request, served.resource)
    review.setdefault("metadata", {})
    return review


def _answer(review: Object, status: Object) -> Response:
    return Response(201, orjson.dumps({**review, "status": status}))


def _info(spec: Mapping[str, Any]) -> RequestInfo:
    """What a review asks about. Raises StatusError 422."""
    of_resource, of_path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (of_resource is None) == (of_path is None):
        message = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise errors.invalid(
            "SubjectAccessReview",
            "",
            [errors.cause("spec.resourceAttributes", "FieldValueInvalid", message)],
            group="authorization.k8s.io",
        )
    if of_path is not None:
        return RequestInfo(False, of_path.get("verb") or "", of_path.get("path") or "")
    assert of_resource is not None
    group, version, namespace, resource, subresource, name, verb = (
        str(of_resource.get(field) or "")
        for field in ("group", "version", "namespace", "resource", "subresource", "name", "verb")
    )
    selector = str((of_resource.get("fieldSelector") or {}).get("rawSelector") or "")
    return RequestInfo(True, verb, "", group, version, namespace, resource, subresource, name, field_selector=selector)


def user_of(info: Mapping[str, Any]) -> User:
    """A user as reviews and certificate requests state him."""
    extra = {key: tuple(values) for key, values in (info.get("extra") or {}).items()}
    name = info.get("user") or info.get("username") or ""
    return User(name, tuple(info.get("groups") or ()), info.get("uid") or "", extra)


class Reviews:
    """The handlers of reviews."""

    def __init__(
        self,
        authorizer: Authorizer,
        rbac: Rbac | None,
        readers: Sequence[TokenReader],
        audiences: tuple[str, ...],
        admission: Chain,
    ) -> None:
        self._admission = admission
        self._authorizer = authorizer
        self._rbac = rbac
        self._readers = readers
        self._audiences = audiences

    def handlers(self) -> dict[str, Special]:
        """By resource."""
        return {
            "subjectaccessreviews.authorization.k8s.io": self.subject,
            "localsubjectaccessreviews.authorization.k8s.io": self.local,
            "selfsubjectaccessreviews.authorization.k8s.io": self.myself,
            "selfsubjectrulesreviews.authorization.k8s.io": self.my_rules,
            "selfsubjectreviews.authentication.k8s.io": self.who_am_i,
            "tokenreviews.authentication.k8s.io": self.token,
        }

    async def _asked(self, context: Context, request: Request, served: Served) -> Object:
        """The review, admitted as every object that is created."""
        review = _read(context, request, served)
        name = str(review["metadata"].get("name") or "")
        attributes = Attributes(context, CREATE, served.resource, context.info.namespace, name, object=review)
        await self._admission.mutate(attributes)
        await self._admission.validate(attributes)
        return review

    async def _verdict(self, user: User, info: RequestInfo) -> Object:
        verdict = await decided(self._authorizer, user, info)
        status: Object = {"allowed": verdict.allowed is True}
        if verdict.allowed is False:
            status["denied"] = True
        if verdict.reason:
            status["reason"] = verdict.reason
        return status

    async def subject(self, context: Context, request: Request, served: Served) -> Response:
        """May somebody do this?"""
        review = await self._asked(context, request, served)
        spec = review.get("spec") or {}
        if not spec.get("user") and not spec.get("groups"):
            message = "Invalid value: at least one of user or group must be specified"
            cause = errors.cause("spec.user", "FieldValueInvalid", message)
            raise errors.invalid(served.resource.kind, "", [cause], group=served.resource.group)
        return _answer(review, await self._verdict(user_of(spec), _info(spec)))

    async def local(self, context: Context, request: Request, served: Served) -> Response:
        """May somebody do this in this namespace?"""
        review = await self._asked(context, request, served)
        spec = review.get("spec") or {}
        namespace = (spec.get("resourceAttributes") or {}).get("namespace")
        if namespace != context.info.namespace:
            message = f'Invalid value: "{namespace}": must match metadata.namespace'
            cause = errors.cause("spec.resourceAttributes.namespace", "FieldValueInvalid", message)
            raise errors.invalid(served.resource.kind, "", [cause], group=served.resource.group)
        review["metadata"]["namespace"] = context.info.namespace
        return _answer(review, await self._verdict(user_of(spec), _info(spec)))

    async def myself(self, context: Context, request: Request, served: Served) -> Response:
        """May I do this?"""
        review = await self._asked(context, request, served)
        return _answer(review, await self._verdict(context.user, _info(review.get("spec") or {})))

    async def my_rules(self, context: Context, request: Request, served: Served) -> Response:
        """What may I do in this namespace?"""
        review = await self._asked(context, request, served)
        namespace = (review.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise errors.bad_request("no namespace on request")
        rules = list(_ALL_RULES) if MASTERS in context.user.groups else []
        if self._rbac is not None:
            rules += self._rbac.rules(context.user, namespace)
        status = {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [
                {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
                for rule in rules
                if rule.get("nonResourceURLs")
            ],
            "incomplete": self._rbac is None,
        }
        return _answer(review, status)

    async def who_am_i(self, context: Context, request: Request, served: Served) -> Response:
        """Who am I?"""
        review = await self._asked(context, request, served)
        review["metadata"]["creationTimestamp"] = meta.format_time(context.now)
        return _answer(review, {"userInfo": context.user.described()})

    async def token(self, context: Context, request: Request, served: Served) -> Response:
        """Whose token is this?"""
        review = await self._asked(context, request, served)
        spec = review.get("spec") or {}
        token, audiences = spec.get("token") or "", tuple(spec.get("audiences") or ())
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        why: list[str] = []
        for reader in self._readers:
            try:
                found = await reader(token, audiences or self._audiences)
            except errors.StatusError as error:
                why.append(getattr(error, "why", error.message))
                continue
            if found is None:
                continue
            user, common = found
            status: Object = {"authenticated": True, "user": authenticated(user).described()}
            if common:
                status["audiences"] = common
            return _answer(review, status)
        if why:
            return _answer(review, {"user": {}, "error": f"[invalid bearer token, {', '.join(why)}]"})
        return _answer(review, {"user": {}, "error": "invalid bearer token"})
