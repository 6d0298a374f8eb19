"""Pulumi's ResourceProvider service over the registry of kinds: the only module that knows the wire protocol.

The service is written against the protocol (`pulumirpc.ResourceProvider`, `pulumirpc.Engine`) rather than on the SDK's
provider class, because that class passes on neither the old inputs of a diff, nor a way to report progress, nor the
partial state of a failed create, and all three are needed here.

The process must not outlive the engine: a killed `pulumi` would leave a plugin that still changes hosts. A pidfd of the
parent ends it. What a run leaves half done is done again by the next one, since every create is idempotent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from components.provider import property_values
from components.provider.kinds import Change, Context, Kind, PartialError, Registry, ResourceError, Shared, Values
from components.provider.property_values import Path
from components.setup.errors import SetupError

VERSION = "0.1.0"
# Pulumi's own limit for a message, both ways; a stack's variables hold PEM bundles and exceed gRPC's 4 MiB in time.
_CHANNEL_OPTIONS = [("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)]

_THREADS = 256

T = TypeVar("T")
ServicerContext = grpc.aio.ServicerContext[Any, Any]

_DIFF_KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


class EngineReporter:
    """Sends a resource's progress to the engine, in order, without making the operation wait for it."""

    def __init__(self, urn: str, lines: asyncio.Queue[engine_pb2.LogRequest], loop: asyncio.AbstractEventLoop) -> None:
        self._urn = urn
        self._lines = lines
        self._loop = loop

    def status(self, message: str) -> None:
        """Replace the resource's status line."""
        self._send(engine_pb2.INFO, message, ephemeral=True)

    def info(self, message: str) -> None:
        """Leave a line that stays in the log."""
        self._send(engine_pb2.INFO, message, ephemeral=False)

    def warning(self, message: str) -> None:
        """Leave a line that is counted and repeated at the end."""
        self._send(engine_pb2.WARNING, message, ephemeral=False)

    def _send(self, severity: engine_pb2.LogSeverity.ValueType, message: str, *, ephemeral: bool) -> None:
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=self._urn, ephemeral=ephemeral)
        # Operations report from worker threads too.
        self._loop.call_soon_threadsafe(self._lines.put_nowait, request)


class Service(provider_pb2_grpc.ResourceProviderServicer):
    """The ResourceProvider service: decodes a request, lets the kind work, encodes the answer."""

    def __init__(self, registry: Registry, engine: engine_pb2_grpc.EngineStub | None) -> None:
        self._registry = registry
        self._engine = engine
        self._shared = Shared()
        self._running: set[asyncio.Task[Any]] = set()
        self._lines: asyncio.Queue[engine_pb2.LogRequest] = asyncio.Queue()
        self._logging = asyncio.get_running_loop().create_task(self._forward_lines())

    async def _forward_lines(self) -> None:
        while True:
            line = await self._lines.get()
            try:
                if self._engine is not None:
                    await cast("Awaitable[object]", self._engine.Log(line))
            except grpc.aio.AioRpcError as error:
                # The engine is the only place to report to, so a line it refuses can only go to our own stderr.
                print(f"{line.message} (engine: {error.details()})", file=sys.stderr)  # noqa: T201
            finally:
                self._lines.task_done()

    def _context(self, urn: str, *, preview: bool = False) -> Context:
        reporter = EngineReporter(urn, self._lines, asyncio.get_running_loop())
        return Context(urn, reporter, self._shared, preview)

    async def _run(self, context: ServicerContext, urn: str, operation: Coroutine[Any, Any, T]) -> T:
        """Run one operation as a task that Cancel can end, and turn its errors into the engine's."""
        task = asyncio.get_running_loop().create_task(operation)
        self._running.add(task)
        try:
            return await task
        except PartialError as error:
            self._shared.failed.set()
            await self._fail_partially(context, urn, error)
        except (ResourceError, SetupError) as error:
            self._shared.failed.set()
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except asyncio.CancelledError:
            await context.abort(grpc.StatusCode.CANCELLED, "cancelled before it was done")
        except Exception as error:  # noqa: BLE001 - the boundary: a bug of ours must reach the operator as one
            trace = "".join(traceback.format_exception(error))
            await context.abort(grpc.StatusCode.INTERNAL, f"a bug in pulumi-resource-keelson:\n{trace}")
        finally:
            self._running.discard(task)
            await self._lines.join()

    async def _fail_partially(self, context: ServicerContext, urn: str, error: PartialError) -> NoReturn:
        kind = self._registry.of(urn)
        detail = any_pb2.Any()
        detail.Pack(
            provider_pb2.ErrorResourceInitFailed(
                id=error.identifier,
                properties=_encode(kind, error.outputs, frozenset()),
                reasons=[str(error)],
            )
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
        await context.abort(
            grpc.StatusCode.UNKNOWN, str(error), (("grpc-status-details-bin", status.SerializeToString()),)
        )

    # The names below are the protocol's.
    async def GetPluginInfo(self, request: empty_pb2.Empty, context: ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802
        """Say the plugin's version."""
        del request, context
        return plugin_pb2.PluginInfo(version=VERSION)

    async def GetSchema(  # noqa: N802
        self, request: provider_pb2.GetSchemaRequest, context: ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        """Give the package's name alone: the components declare their resources in Python."""
        del request, context
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "keelson", "version": VERSION}))

    async def CheckConfig(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Accept the provider's configuration, of which there is none."""
        del context
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: ServicerContext
    ) -> provider_pb2.DiffResponse:
        """No configuration, so no difference."""
        del request, context
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Configure(  # noqa: N802
        self, request: provider_pb2.ConfigureRequest, context: ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Declare what this plugin understands."""
        del request, context
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    async def Check(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Validate and complete inputs."""

        async def operation() -> provider_pb2.CheckResponse:
            kind = self._registry.of(request.urn)
            inputs = property_values.decode(request.news)
            values, failures = await kind.check(self._context(request.urn), inputs)
            return provider_pb2.CheckResponse(
                inputs=_encode(kind, values, inputs.secrets),
                # The engine prints the value of a property that a failure names, secrets and all: so none is named.
                failures=[provider_pb2.CheckFailure(reason=f"{failure.key}: {failure.reason}") for failure in failures],
            )

        return await self._run(context, request.urn, operation())

    async def Diff(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Compare what is with what is wanted."""

        async def operation() -> provider_pb2.DiffResponse:
            kind = self._registry.of(request.urn)
            new = property_values.decode(request.news)
            changes = await kind.diff(
                self._context(request.urn),
                property_values.decode(request.old_inputs).values,
                property_values.decode(request.olds).values,
                new.values,
            )
            kept = [change for change in changes if change.path[0] not in request.ignoreChanges]
            return _diff_response(kind, kept)

        return await self._run(context, request.urn, operation())

    async def Create(  # noqa: N802
        self, request: provider_pb2.CreateRequest, context: ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Make a resource, or say what a preview can know of it."""

        async def operation() -> provider_pb2.CreateResponse:
            kind = self._registry.of(request.urn)
            inputs = property_values.decode(request.properties)
            if request.preview:
                return provider_pb2.CreateResponse(
                    properties=_encode(kind, kind.previewed(inputs.values, None), inputs.secrets)
                )
            created = await kind.create(self._context(request.urn), inputs.values)
            return provider_pb2.CreateResponse(
                id=created.identifier, properties=_encode(kind, created.outputs, inputs.secrets)
            )

        return await self._run(context, request.urn, operation())

    async def Read(  # noqa: N802
        self, request: provider_pb2.ReadRequest, context: ServicerContext
    ) -> provider_pb2.ReadResponse:
        """See how a resource is now."""

        async def operation() -> provider_pb2.ReadResponse:
            kind = self._registry.of(request.urn)
            inputs = property_values.decode(request.inputs)
            state = property_values.decode(request.properties)
            found = await kind.read(self._context(request.urn), request.id, inputs.values, state.values)
            if found is None:
                return provider_pb2.ReadResponse(id="")
            return provider_pb2.ReadResponse(
                id=request.id,
                inputs=_encode(kind, found.inputs, inputs.secrets),
                properties=_encode(kind, found.outputs, inputs.secrets | state.secrets),
            )

        return await self._run(context, request.urn, operation())

    async def Update(  # noqa: N802
        self, request: provider_pb2.UpdateRequest, context: ServicerContext
    ) -> provider_pb2.UpdateResponse:
        """Make a resource as its new inputs say."""

        async def operation() -> provider_pb2.UpdateResponse:
            kind = self._registry.of(request.urn)
            inputs = property_values.decode(request.news)
            state = property_values.decode(request.olds)
            if request.preview:
                outputs = kind.previewed(inputs.values, state.values)
            else:
                outputs = await kind.update(self._context(request.urn), request.id, state.values, inputs.values)
            return provider_pb2.UpdateResponse(properties=_encode(kind, outputs, inputs.secrets | state.secrets))

        return await self._run(context, request.urn, operation())

    async def Delete(  # noqa: N802
        self, request: provider_pb2.DeleteRequest, context: ServicerContext
    ) -> empty_pb2.Empty:
        """Remove a resource."""

        async def operation() -> empty_pb2.Empty:
            kind = self._registry.of(request.urn)
            state = property_values.decode(request.properties)
            await kind.delete(self._context(request.urn), request.id, state.values)
            return empty_pb2.Empty()

        return await self._run(context, request.urn, operation())

    async def Cancel(self, request: empty_pb2.Empty, context: ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """End what runs: Ctrl-C at the operator's terminal."""
        del request, context
        self.cancel()
        return empty_pb2.Empty()

    async def close(self) -> None:
        """End the forwarding of progress; nothing may be asked afterwards."""
        self._logging.cancel()
        await asyncio.gather(self._logging, return_exceptions=True)

    def cancel(self) -> None:
        """Ask every operation to end."""
        self._shared.cancelled.set()
        for task in self._running:
            task.cancel()


def _encode(kind: Kind, values: Values, secrets: frozenset[Path]) -> Any:
    return property_values.encode(values, secrets | {(name,) for name in kind.secret_outputs})


def _diff_response(kind: Kind, changes: list[Change]) -> provider_pb2.DiffResponse:
    replaces = sorted({str(change.path[0]) for change in changes if change.replace})
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=replaces,
        deleteBeforeReplace=bool(replaces) and kind.delete_before_replace,
        diffs=sorted({str(change.path[0]) for change in changes}),
        hasDetailedDiff=True,
        detailedDiff={
            property_values.render_path(change.path): provider_pb2.PropertyDiff(
                kind=_DIFF_KINDS[change.kind, change.replace], inputDiff=change.against_inputs
            )
            for change in changes
        },
    )


def _when_parent_ends(act: Callable[[], None]) -> None:
    """Call `act` once the process that started this one has ended (pidfd_open(2): readable at exit)."""
    parent = os.pidfd_open(os.getppid())
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(parent)
        os.close(parent)
        act()

    loop.add_reader(parent, ended)


async def serve(registry: Registry, engine_address: str | None, announce: Callable[[int], Awaitable[None]]) -> None:
    """Serve until a signal, or the engine's end; `announce` is given the port once it listens."""
    channel = grpc.aio.insecure_channel(engine_address, options=_CHANNEL_OPTIONS) if engine_address else None
    service = Service(registry, engine_pb2_grpc.EngineStub(channel) if channel is not None else None)
    server = grpc.aio.server(options=_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stopping = asyncio.Event()

    def stop() -> None:
        service.cancel()
        stopping.set()

    loop = asyncio.get_running_loop()
    # A thread a host and operation that waits: the default executor has a handful, and waits would then wait in line.
    loop.set_default_executor(ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="host"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _when_parent_ends(stop)
    await announce(port)
    await stopping.wait()
    await server.stop(grace=5)
    await service.close()
    if channel is not None:
        await channel.close()
