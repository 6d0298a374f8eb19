"""An OpenTelemetry collector on loopback: takes spans by OTLP over gRPC, in opentelemetry-proto's messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

import grpc.aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.trace.v1 import trace_pb2 as trace


def attributes(pairs: Any) -> dict[str, Any]:
    """Attributes as a mapping."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


class Taken(NamedTuple):
    """One span with what is said of whoever made it."""

    resource: dict[str, Any]
    span: trace.Span

    @property
    def attributes(self) -> dict[str, Any]:
        """What it says of itself."""
        pairs: list[common.KeyValue] = list(self.span.attributes)
        return attributes(pairs)


class Collector:
    """One collector, for its context; it listens on `address`, or on a port of its own. `refusals` fail first."""

    def __init__(self, address: str = "127.0.0.1:0", refusals: int = 0) -> None:
        self.spans: list[Taken] = []
        self.calls = 0
        self.refusals = refusals
        self._address = address
        self._changed = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        self.endpoint = address

    async def _export(self, request: service.ExportTraceServiceRequest, context: Any) -> Any:
        self.calls += 1
        if self.calls <= self.refusals:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not today")
        for group in request.resource_spans:
            about = attributes(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [Taken(about, span) for span in scope.spans]
        self._changed.set()
        return service.ExportTraceServiceResponse()

    async def until(self, wanted: Callable[[Taken], bool]) -> Taken:
        """The first span that is wanted, which may have yet to come."""
        async with asyncio.timeout(20):
            while True:
                self._changed.clear()
                for each in self.spans:
                    if wanted(each):
                        return each
                await self._changed.wait()

    def of_trace(self, identity: bytes) -> dict[str, Taken]:
        """The spans of a trace by name."""
        return {each.span.name: each for each in self.spans if each.span.trace_id == identity}

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=service.ExportTraceServiceRequest.FromString,
            response_serializer=service.ExportTraceServiceResponse.SerializeToString,
        )
        name = "opentelemetry.proto.collector.trace.v1.TraceService"
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": handler}),))
        port = self._server.add_insecure_port(self._address)
        if self._address.endswith(":0"):
            self.endpoint = f"127.0.0.1:{port}"
        await self._server.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await self._server.stop(None)
