"""The span of a request, named and described as upstream's (apiserver/pkg/endpoints/filters/traces.go).

It begins when the request came and is made once it is known who asks, because only who is trusted may have requests
traced: members of system:masters and system:monitoring. Requests that nobody could authenticate have none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from keelson.kube_apiserver.registry.contexts import User
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.request_infos import RequestInfo

from . import spans
from .spans import Event, Nothing, Span, Tracer, Value

_TRUSTED = frozenset({"system:masters", "system:monitoring"})
AUTHENTICATION, AUTHORIZATION = "authentication", "authorization"
IMPERSONATION, FAIRNESS = "constrainedimpersonation", "priorityandfairness"
# Steps that are spans of their own (apiserver/pkg/endpoints/filterlatency).
FILTERS = frozenset({AUTHENTICATION, IMPERSONATION, FAIRNESS, AUTHORIZATION})
_OPERATIONS: Mapping[str, str] = {
    "get": "Get",
    "list": "List",
    "watch": "WatchServer.HandleHTTP",
    "create": "Create",
    "update": "Update",
    "patch": "Patch",
    "delete": "Delete",
    "deletecollection": "Delete",
}
_MOST_AUDIT_ID = 64


def name_of(method: str, info: RequestInfo) -> str:
    """The span's name: which kind of request it is, without the names of objects."""
    if not info.is_resource:
        return method
    parts = [f"/apis/{info.group}" if info.group else "/api", info.version]
    if info.namespace:
        parts.append("namespaces/{:namespace}")
    parts.append(info.resource)
    if info.name:
        parts.append("{:name}")
    if info.subresource:
        parts.append(info.subresource)
    return f"{method} {'/'.join(parts)}"


def begin(tracer: Tracer, request: Request, info: RequestInfo, user: User) -> None:
    """Make the span of a request that is under way, and make it the current one."""
    trusted = not _TRUSTED.isdisjoint(user.groups)
    span = tracer.root(name_of(request.method, info), spans.parse(request.headers), trusted=trusted)
    if span.recording:
        # Its steps are counted from here: the two clocks are read at once.
        span.start = time.time_ns() - int((time.perf_counter() - request.began) * 1e9)
        span.attributes.update(_described(request))
    request.span = span
    span.enter()


def _described(request: Request) -> dict[str, Value]:
    headers = request.headers
    host, _, port = headers.get("host", "").rpartition(":")
    if not host or not port.isdecimal():
        host, port = headers.get("host", ""), ""
    found: dict[str, Value] = {
        "server.address": host.strip("[]"),
        "http.request.method": request.method,
        "url.scheme": "https",
        "url.path": request.path,
        "http.target": request.target,
        "network.peer.address": request.remote,
        "network.protocol.version": "1.1",
    }
    if port:
        found["server.port"] = int(port)
    for name, key in (("user-agent", "user_agent.original"), ("audit-id", "audit-id")):
        if headers.get(name):
            found[key] = headers[name][:_MOST_AUDIT_ID] if name == "audit-id" else headers[name]
    if forwarded := headers.get("x-forwarded-for", "").partition(",")[0].strip():
        found["client.address"] = forwarded
    if request.body:
        found["http.request.body.size"] = len(request.body)
    return found


def operation_name(info: RequestInfo, method: str) -> str:
    """What upstream calls a verb's work."""
    return _OPERATIONS.get(info.verb, info.verb) if info.is_resource else method


def operation(info: RequestInfo, request: Request) -> Span | Nothing:
    """The span of a verb's work, as a context."""
    if request.span is None or not request.span.recording:
        return spans.NOTHING
    about = {
        "method": request.method,
        "url": request.target,
        "protocol": "HTTP/1.1",
        "mediaType": request.headers.get("content-type", ""),
        "accept": request.headers.get("accept", ""),
    }
    return spans.child(operation_name(info, request.method), about)


def tell(span: Span | None, request: Request, first: int) -> None:
    """Make events of a span of the steps that a request has done, from number `first` on."""
    if span is not None and span.recording and request.span is not None:
        for what, done in request.steps[first:]:
            span.events.append(Event(what, _moment(request, request.span, done), {}))


def _moment(request: Request, span: Span, counted: float) -> int:
    """Nanoseconds since 1970 of what time.perf_counter has told."""
    return span.start + int((counted - request.began) * 1e9)


def _filtered(request: Request, span: Span) -> None:
    """The spans of the filters that let the request pass, as upstream names them."""
    begins = span.start
    for what, done in request.steps:
        ends = _moment(request, span, done)
        if what in FILTERS:
            spans.ended(span, what, begins, ends)
        begins = ends


def end(request: Request, span: Span, response: Response | None) -> None:
    """The request is answered; None where the answer was streamed, or its client left."""
    if span.recording:
        _filtered(request, span)
    if response is not None:
        span.attributes["http.response.status_code"] = response.status
        if size := sum(map(len, response.parts)):
            span.attributes["http.response.body.size"] = size
        if response.status >= 500:
            span.error = ""
    span.leave()
