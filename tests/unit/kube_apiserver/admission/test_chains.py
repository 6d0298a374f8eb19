"""The chain: who is left out while there is nothing to do, who sees deletions, and when all have a second turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from keelson.api import errors, resources
from keelson.kube_apiserver.admission.chains import CREATE, DELETE, Attributes, Chain, Reinvocation
from keelson.kube_apiserver.registry.contexts import LOOPBACK, Context
from keelson.kube_apiserver.serving.request_infos import RequestInfo


class _Plugin:
    """Notes when it is called; asks for a second round where `changes`."""

    def __init__(self, name: str, calls: list[str], *, changes: bool = False) -> None:
        self.name = name
        self._calls = calls
        self._changes = changes

    async def mutate(self, attributes: Attributes) -> None:
        self._calls.append(f"mutate {self.name}")
        if self._changes:
            attributes.reinvocation = attributes.reinvocation or Reinvocation()
            attributes.reinvocation.wanted = True

    async def validate(self, attributes: Attributes) -> None:
        self._calls.append(f"validate {self.name}")


class _Configured(_Plugin):
    """One that objects configure."""

    mutates_deletions = True

    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__(name, calls)
        self.active = False
        self.on_activity: Callable[[], None] = lambda: None


def _attributes(operation: str = CREATE) -> Attributes:
    context = Context(LOOPBACK, RequestInfo(True, "create", ""), datetime(2026, 1, 1, tzinfo=UTC))
    return Attributes(context, operation, resources.lookup("pods"), "team", "one", object={})


async def test_what_is_not_configured_is_not_called() -> None:
    calls: list[str] = []
    configured = _Configured("webhooks", calls)
    chain = Chain(itertools.count().__next__)
    chain.use([_Plugin("built-in", calls), configured])
    await chain.mutate(_attributes())
    await chain.validate(_attributes())
    assert calls == ["mutate built-in", "validate built-in"]
    configured.active = True
    configured.on_activity()
    calls.clear()
    await chain.mutate(_attributes())
    assert calls == ["mutate built-in", "mutate webhooks"]
    configured.active = False
    configured.on_activity()
    calls.clear()
    await chain.mutate(_attributes())
    assert calls == ["mutate built-in"]


async def test_only_those_who_ask_for_it_mutate_at_deletions() -> None:
    calls: list[str] = []
    configured = _Configured("webhooks", calls)
    configured.active = True
    chain = Chain(itertools.count().__next__)
    chain.use([_Plugin("built-in", calls), configured])
    await chain.delete(_attributes(DELETE))
    assert calls == ["mutate webhooks", "validate built-in", "validate webhooks"]


async def test_a_change_gives_everybody_one_more_turn() -> None:
    calls: list[str] = []
    chain = Chain(itertools.count().__next__)
    chain.use([_Plugin("first", calls), _Plugin("second", calls, changes=True)])
    attributes = _attributes()
    await chain.mutate(attributes)
    assert calls == ["mutate first", "mutate second"] * 2
    assert attributes.reinvocation is not None
    assert attributes.reinvocation.round == 1


async def test_time_is_told_by_plugin_and_by_step() -> None:
    class Refusing(_Plugin):
        async def validate(self, attributes: Attributes) -> None:
            raise errors.forbidden("pods", "one", "no")

    calls: list[str] = []
    # Each step takes as long as the clock is told to: first 1 ms, then 200 ms.
    moments = iter((0.0, 0.001, 0.201, 1.0, 1.002, 1.003, 2.0, 2.001, 2.3))
    chain = Chain(moments.__next__)
    chain.use([_Plugin("MutatingAdmissionWebhook", calls), _Plugin("slow", calls)])
    attributes = _attributes()
    await chain.mutate(attributes)
    assert attributes.context.waited == pytest.approx(0.001)
    await chain.mutate(_attributes())
    chain.use([_Plugin("first", calls), Refusing("slow", calls)])
    with pytest.raises(errors.StatusError):
        await chain.validate(_attributes())
    registry = CollectorRegistry()
    registry.register(chain.durations)
    plugin = {"name": "slow", "type": "admit", "operation": "CREATE", "rejected": "false"}
    name = "apiserver_admission_controller_admission_duration_seconds"
    shown = [registry.get_sample_value(f"{name}_bucket", {**plugin, "le": bound}) for bound in ("0.005", "0.1", "0.5")]
    assert shown == [1.0, 1.0, 2.0]
    assert registry.get_sample_value(f"{name}_sum", plugin) == pytest.approx(0.201)
    step = {"type": "validate", "operation": "CREATE", "rejected": "true"}
    whole = "apiserver_admission_step_admission_duration_seconds"
    assert registry.get_sample_value(f"{whole}_sum", step) == pytest.approx(0.3)
    assert registry.get_sample_value(f"{name}_count", {"name": "slow", **step}) == 1
    assert registry.get_sample_value(f"{name}_count", {"name": "first", **step}) is None
