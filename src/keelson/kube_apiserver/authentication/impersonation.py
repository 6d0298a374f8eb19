"""Impersonation: who may, acts as somebody else by headers ("User impersonation").

Every name taken on is a permission of its own (`impersonate` on users, groups, serviceaccounts, uids, userextras), and
the server's own checks then see only the one who is impersonated.
"""

from __future__ import annotations

from urllib.parse import unquote

from keelson.api import errors
from keelson.kube_apiserver.authorization.unions import Authorizer, decided, refusal
from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_USER, _GROUP, _UID, _EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def _asked(resource: str, name: str, *, group: str = "", namespace: str = "", subresource: str = "") -> RequestInfo:
    return RequestInfo(True, "impersonate", "", group, "v1", namespace, resource, subresource, name)


async def applied(user: User, request: Request, authorizer: Authorizer) -> User:
    """The user whom the request acts as. Raises StatusError 400, 403."""
    headers = request.headers
    if not any(name.startswith("impersonate-") for name in headers):
        return user
    name = headers.get(_USER, "")
    groups = [part.strip() for part in headers.get(_GROUP, "").split(",") if part.strip()]
    uid = headers.get(_UID, "")
    extra = {
        unquote(key[len(_EXTRA) :]).lower(): tuple(part.strip() for part in value.split(","))
        for key, value in headers.items()
        if key.startswith(_EXTRA)
    }
    if not name:
        raise errors.bad_request("requested impersonation of groups, uid or extra without impersonating a user")
    wanted: list[RequestInfo] = []
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        wanted.append(_asked("serviceaccounts", account, namespace=namespace))
        if not groups:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    else:
        wanted.append(_asked("users", name))
        wanted += [_asked("groups", group) for group in groups]
    if name.startswith(_ACCOUNT) and headers.get(_GROUP):
        wanted += [_asked("groups", group) for group in groups]
    if uid:
        wanted.append(_asked("uids", uid, group=_AUTHENTICATION))
    for key, values in extra.items():
        wanted += [_asked("userextras", value, group=_AUTHENTICATION, subresource=key) for value in values]
    for info in wanted:
        verdict = await decided(authorizer, user, info)
        if verdict.allowed is not True:
            raise refusal(user, info, verdict.reason)
    if name == "system:anonymous":
        groups = groups or ["system:unauthenticated"]
    elif "system:authenticated" not in groups and "system:unauthenticated" not in groups:
        groups = [*groups, "system:authenticated"]
    return User(name, tuple(groups), uid, extra)
