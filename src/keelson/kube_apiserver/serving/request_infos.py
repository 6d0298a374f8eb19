"""What a request asks for, read from its method and path alone: the input of authorisation and of routing.

The rules are those of upstream's RequestInfo (API concepts, "Resource URIs"): `/api/v1/…` and `/apis/GROUP/VERSION/…`
name resources, everything else is a path. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from keelson.api import errors

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}
# Below a namespace these are the namespace's own subresources; anything else is a resource in it.
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


class RequestInfo(NamedTuple):
    """`resource` is "" where the request is for a path (`is_resource` False); `verb` is then the method in lower case.

    `rest` is what follows the subresource, as in `/proxy/some/path`. `field_selector` is the parameter of a list, watch
    or deletecollection, which some authorisers look at.
    """

    is_resource: bool
    verb: str
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    rest: str = ""
    field_selector: str = ""


_NAME = "metadata.name="


def of(method: str, path: str, *, watch: bool = False, field_selector: str = "") -> RequestInfo:
    """The info of a request; `watch` and `field_selector` are its parameters.

    Raises StatusError 400 for a path that tries to leave its place.
    """
    if "/../" in path or path.endswith("/..") or "/./" in path or "\0" in path:
        raise errors.bad_request("the path must not contain '.' or '..' segments")
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(False, method.lower(), path)
    verb = _VERBS.get(method, "")
    legacy_watch = rest[0] == "watch" and len(rest) > 1
    if legacy_watch:
        rest = rest[1:]
        verb = "watch"
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if not name and verb == "get":
        verb = "watch" if watch else "list"
    elif not name and verb == "delete":
        verb = "deletecollection"
    elif name and verb == "get" and watch and not subresource:
        verb = "watch"
    if verb not in ("list", "watch", "deletecollection"):
        field_selector = ""
    elif not name and field_selector.startswith(_NAME) and "," not in field_selector:
        # A collection narrowed to one name is authorised like that one object.
        name = field_selector[len(_NAME) :]
    rest_path = "/".join(rest[3:])
    return RequestInfo(
        True, verb, path, group, version, namespace, resource, subresource, name, rest_path, field_selector
    )
