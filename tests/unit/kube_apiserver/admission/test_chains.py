"""The chain: who is left out while there is nothing to do, who sees deletions, and when all have a second turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

from keelson.api import resources
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
