"""EventRateLimit: how many events are let through, by which key, and which limits it can't be given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from keelson.api import resources
from keelson.api.errors import StatusError
from keelson.component_base.configurations import ConfigurationError
from keelson.kube_apiserver.admission.chains import CREATE, Attributes
from keelson.kube_apiserver.admission.configurations import Configurations
from keelson.kube_apiserver.admission.event_rates import EventRateLimit, Limit, limits_from
from keelson.kube_apiserver.registry.contexts import Context, User
from keelson.kube_apiserver.serving.request_infos import RequestInfo


def event(
    namespace: str = "team", user: str = "eve", about: str = "pod", of: str = "events", **more: Any
) -> Attributes:
    context = Context(User(user), RequestInfo(True, "create", ""), datetime(2026, 1, 1, tzinfo=UTC), **more)
    body = {"source": {"component": "kubelet"}, "involvedObject": {"kind": "Pod", "name": about}}
    return Attributes(context, CREATE, resources.lookup(of), namespace, "e", object=body)


async def accepted(plugin: EventRateLimit, attributes: Attributes) -> bool:
    try:
        await plugin.validate(attributes)
    except StatusError as error:
        return error.code != 429
    return True


async def test_a_burst_passes_and_then_so_many_a_second() -> None:
    now = [0.0]
    plugin = EventRateLimit([Limit("Server", 2, 3)], lambda: now[0])
    assert [await accepted(plugin, event()) for _ in range(5)] == [True, True, True, False, False]
    now[0] = 1.0
    assert [await accepted(plugin, event(of="events.events.k8s.io")) for _ in range(3)] == [True, True, False]
    now[0] = 100.0
    assert [await accepted(plugin, event()) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("kind", "other"),
    [("Namespace", {"namespace": "b"}), ("User", {"user": "adam"}), ("SourceAndObject", {"about": "other"})],
)
async def test_each_key_has_its_own_allowance(kind: str, other: dict[str, str]) -> None:
    plugin = EventRateLimit([Limit(kind, 1, 1)], lambda: 0.0)
    assert await accepted(plugin, event())
    assert not await accepted(plugin, event())
    assert await accepted(plugin, event(**other))


async def test_the_longest_unused_allowance_is_forgotten_first() -> None:
    plugin = EventRateLimit([Limit("User", 1, 1, buckets=2)], lambda: 0.0)
    for name in ("a", "b", "c"):
        assert await accepted(plugin, event(user=name))
    assert not await accepted(plugin, event(user="c"))
    assert await accepted(plugin, event(user="a"))


async def test_other_objects_and_dry_runs_are_not_counted() -> None:
    plugin = EventRateLimit([Limit("Server", 1, 1)], lambda: 0.0)
    for attributes in (event(of="pods"), event(dry_run=True), event()):
        assert await accepted(plugin, attributes)


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ([], "must not be empty"),
        ([{"type": "Pod", "qps": 1, "burst": 1}], "type: must be one of"),
        ([{"type": "Server", "qps": 0, "burst": 1}], "qps: must be positive"),
        ([{"type": "User", "qps": 1, "burst": 1, "cacheSize": -1}], "must not be negative"),
        ([{"type": "User", "qps": 1, "burst": 1, "size": 1}], "unknown field"),
    ],
)
def test_limits_that_mean_nothing_are_refused(limits: list[dict[str, Any]], complaint: str) -> None:
    document = {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration", "limits": limits}
    with pytest.raises(ConfigurationError, match=complaint):
        limits_from(Configurations({"EventRateLimit": document}))
