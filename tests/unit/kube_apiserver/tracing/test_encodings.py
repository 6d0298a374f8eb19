"""Spans read back by OpenTelemetry's own messages."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

from keelson.kube_apiserver.tracing import encodings, spans
from keelson.kube_apiserver.tracing.spans import Event, Link, Span, Tracer


def test_every_field_arrives() -> None:
    ended: list[Span] = []
    span = Tracer(1.0, ended.append).root("GET /api", Link(5, 6, True, "a=1"), trusted=True)
    span.links.append(Link(1 << 127, 1 << 63, False, "b=2"))
    span.start = 10
    span.events.append(Event("seen", 11, {"n": -1}))
    span.attributes.update({"text": "ä\ud800", "yes": True, "number": 1 << 40, "half": 0.5})
    span.error = "it broke"
    span.leave()
    span.end = 12
    message = encodings.request({"service.name": "apiserver"}, "scope", ended)
    (group,) = service.ExportTraceServiceRequest.FromString(message).resource_spans
    assert group.resource.attributes[0].value.string_value == "apiserver"
    (scope,) = group.scope_spans
    assert scope.scope.name == "scope"
    (found,) = scope.spans
    assert (found.trace_id, found.parent_span_id) == ((5).to_bytes(16, "big"), (6).to_bytes(8, "big"))
    assert found.span_id == span.identity.to_bytes(8, "big")
    assert (found.name, found.kind, found.trace_state) == ("GET /api", trace.Span.SPAN_KIND_SERVER, "a=1")
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (10, 12)
    values = {each.key: each.value for each in found.attributes}
    assert values["text"].string_value == "ä?"
    assert values["yes"].bool_value
    assert (values["number"].int_value, values["half"].double_value) == (1 << 40, 0.5)
    (event,) = found.events
    assert (event.name, event.time_unix_nano, event.attributes[0].value.int_value) == ("seen", 11, -1)
    (link,) = found.links
    assert (link.trace_id, link.span_id) == ((1 << 127).to_bytes(16, "big"), (1 << 63).to_bytes(8, "big"))
    assert link.trace_state == "b=2"
    assert (found.status.code, found.status.message) == (trace.Status.STATUS_CODE_ERROR, "it broke")
    remote = trace.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK | trace.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    assert found.flags == 1 | remote


def test_a_child_has_its_parent_here() -> None:
    ended: list[Span] = []
    root = Tracer(1.0, ended.append).root("GET", None, trusted=False)
    root.enter()
    with spans.child("inner"):
        pass
    root.leave()
    message = encodings.request({}, "scope", ended)
    inner, outer = service.ExportTraceServiceRequest.FromString(message).resource_spans[0].scope_spans[0].spans
    assert inner.parent_span_id == outer.span_id
    assert not outer.parent_span_id
    assert not inner.flags & trace.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    assert outer.status.code == trace.Status.STATUS_CODE_UNSET
