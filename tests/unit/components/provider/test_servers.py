"""The plugin spoken to as the engine speaks to it, over gRPC: secrets stay wrapped, errors are one sentence."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import grpc
import grpc.aio
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from components.provider import property_values, servers
from components.provider.kinds import (
    Change,
    Context,
    Created,
    Failure,
    Found,
    Kind,
    PartialError,
    Registry,
    ResourceError,
    Values,
)
from components.provider.property_values import Properties

URN = "urn:pulumi:dev::keelson::keelson:index:Thing::one"


class Thing(Kind):
    """A kind whose inputs say how it behaves."""

    type_name: ClassVar[str] = "keelson:index:Thing"
    secret_outputs: ClassVar[frozenset[str]] = frozenset({"made"})
    computed_outputs: ClassVar[tuple[str, ...]] = ("made",)
    updatable: ClassVar[frozenset[str]] = frozenset({"size"})

    async def check(self, context: Context, inputs: Properties) -> tuple[Values, list[Failure]]:
        bad = [Failure("password", "is too short")] if inputs.values.get("password") == "hunter2" else []
        return {**inputs.values, "checked": True}, bad

    async def create(self, context: Context, inputs: Values) -> Created:
        match inputs.get("mood"):
            case "sad":
                raise ResourceError("host a: no room")
            case "half":
                raise PartialError("host a: stopped half way", identifier="a", outputs={"made": "half"})
            case "broken":
                raise KeyError("mood")
            case "slow":
                await asyncio.Event().wait()
        context.report.status("making it")
        return Created("a", {**inputs, "made": "all"})

    async def read(self, context: Context, identifier: str, inputs: Values, outputs: Values) -> Found | None:
        return None if identifier == "gone" else Found(inputs, {**outputs, "seen": True})

    async def update(self, context: Context, identifier: str, outputs: Values, inputs: Values) -> Values:
        return {**outputs, **inputs}

    async def diff(self, context: Context, old_inputs: Values, outputs: Values, new_inputs: Values) -> list[Change]:
        return await super().diff(context, old_inputs, outputs, new_inputs)


@pytest.fixture
async def stub() -> AsyncIterator[Any]:
    server = grpc.aio.server()
    service = servers.Service(Registry({Thing.type_name: Thing()}), None)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    await server.stop(None)
    await service.close()


def encode(secrets: set[property_values.Path] | None = None, **values: Any) -> struct_pb2.Struct:
    return property_values.encode(values, secrets or set())


async def test_create_keeps_what_was_secret_and_adds_its_own(stub: Any) -> None:
    inputs = encode({("variables", "key")}, variables={"key": "s3cret", "open": 1})
    answer = await stub.Create(provider_pb2.CreateRequest(urn=URN, properties=inputs))
    decoded = property_values.decode(answer.properties)
    assert answer.id == "a"
    assert decoded.values == {"variables": {"key": "s3cret", "open": 1}, "made": "all"}
    assert decoded.secrets == {("variables", "key"), ("made",)}


async def test_a_preview_makes_nothing_and_promises_nothing(stub: Any) -> None:
    request = provider_pb2.CreateRequest(urn=URN, properties=encode(mood="sad"), preview=True)
    decoded = property_values.decode((await stub.Create(request)).properties)
    assert decoded.values == {"mood": "sad", "made": property_values.UNKNOWN}


async def test_a_failure_is_one_sentence(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Create(provider_pb2.CreateRequest(urn=URN, properties=encode(mood="sad")))
    assert caught.value.details() == "host a: no room"


async def test_what_half_exists_is_recorded(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Create(provider_pb2.CreateRequest(urn=URN, properties=encode(mood="half")))
    metadata = dict(caught.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert detail.id == "a"
    assert property_values.decode(detail.properties).values == {"made": "half"}


async def test_a_bug_is_called_one(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Create(provider_pb2.CreateRequest(urn=URN, properties=encode(mood="broken")))
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "a bug in pulumi-resource-keelson" in (caught.value.details() or "")


async def test_a_failed_check_never_lets_the_engine_print_a_value(stub: Any) -> None:
    request = provider_pb2.CheckRequest(urn=URN, news=encode({("password",)}, password="hunter2"))
    answer = await stub.Check(request)
    # The engine prints the value of the property that a failure names.
    assert [(failure.property, failure.reason) for failure in answer.failures] == [("", "password: is too short")]
    assert "hunter2" not in str(answer.failures)


async def test_diffs_say_what_is_updated_and_what_replaced(stub: Any) -> None:
    old, new = encode(size=1, name="a"), encode(size=2, name="a")
    answer = await stub.Diff(provider_pb2.DiffRequest(urn=URN, id="a", olds=old, old_inputs=old, news=new))
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert not answer.replaces
    assert answer.detailedDiff["size"].kind == provider_pb2.PropertyDiff.UPDATE
    renamed = encode(size=1, name="b")
    answer = await stub.Diff(provider_pb2.DiffRequest(urn=URN, id="a", olds=old, old_inputs=old, news=renamed))
    assert list(answer.replaces) == ["name"]
    assert answer.deleteBeforeReplace
    same = await stub.Diff(provider_pb2.DiffRequest(urn=URN, id="a", olds=old, old_inputs=old, news=old))
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE


async def test_what_is_gone_is_told(stub: Any) -> None:
    assert (await stub.Read(provider_pb2.ReadRequest(id="gone", urn=URN, properties=encode(size=1)))).id == ""
    found = await stub.Read(provider_pb2.ReadRequest(id="a", urn=URN, properties=encode(size=1), inputs=encode(size=1)))
    assert property_values.decode(found.properties).values == {"size": 1, "seen": True}


async def test_cancel_ends_what_runs(stub: Any) -> None:
    running = asyncio.ensure_future(_create_slowly(stub))
    # The create may reach the plugin after a first Cancel, so it is sent until the create has ended.
    while not running.done():
        await stub.Cancel(empty_pb2.Empty())
        await asyncio.wait([running], timeout=0.05)
    assert running.result() == grpc.StatusCode.CANCELLED


async def _create_slowly(stub: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Create(provider_pb2.CreateRequest(urn=URN, properties=encode(mood="slow")))
    return caught.value.code()


async def test_an_unknown_kind_is_named(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="keelson:index:Other is not a kind"):
        await stub.Create(provider_pb2.CreateRequest(urn=URN.replace("Thing", "Other"), properties=encode()))
