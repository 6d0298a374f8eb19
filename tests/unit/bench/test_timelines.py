"""A bring-up's course out of the engine's events."""

import json
from typing import Any
from xml.etree import ElementTree

from tests.bench import timelines
from tests.bench.timelines import Span

_HOST = "urn:pulumi:s::keelson::keelson:components:Pool$keelson:index:Convergence::s-cp-1"
_DNS = "urn:pulumi:s::keelson::keelson:components:Addons$keelson:index:ClusterObjects::dns"
_JOINING = "urn:pulumi:s::keelson::keelson:components:Addons$keelson:index:ClusterObjects::joining"


def event(at: int, kind: str, urn: str, message: str = "") -> str:
    body: dict[str, Any] = {"urn": urn, "message": f"{message}\n"} if message else {"metadata": {"urn": urn}}
    return json.dumps({"timestamp": 1000 + at, kind: body})


def course() -> list[Span]:
    return timelines.read(
        [
            event(0, "resourcePreEvent", "urn:pulumi:s::keelson::pulumi:pulumi:Stack::keelson-s"),
            event(1, "resourcePreEvent", _HOST),
            event(1, "resourcePreEvent", _DNS),
            event(3, "diagnosticEvent", _HOST, "s-cp-1: base : Check variables"),
            event(4, "diagnosticEvent", _HOST, "s-cp-1: base : Place files"),
            event(5, "resourcePreEvent", _JOINING),
            event(7, "diagnosticEvent", _HOST, "s-cp-1: etcd : Check variables"),
            event(8, "diagnosticEvent", _HOST, "s-cp-1: etcd: waits for health"),
            event(9, "resOutputsEvent", _DNS),
            event(10, "resOutputsEvent", _HOST),
            event(11, "resOutputsEvent", _JOINING),
        ]
    )


def test_a_role_lasts_until_the_next_begins() -> None:
    host = [span for span in course() if span.lane == "s-cp-1"]
    assert [(span.phase, span.begin, span.end) for span in host] == [
        ("transfer", 1, 3),
        ("base", 3, 7),
        ("etcd", 7, 8),
        ("health", 8, 10),
    ]


def test_what_ran_at_the_same_time_is_not_counted_twice() -> None:
    (addons,) = (line for line in timelines.table(course()).splitlines() if "add-ons" in line)
    assert addons.split() == ["add-ons", "1", "s", "to", "11", "s,", "10", "s", "at", "most"]


def test_the_drawing_has_a_bar_a_span() -> None:
    drawn = ElementTree.fromstring(timelines.drawing(course(), "a <title>"))
    assert len([one for one in drawn.iter() if one.tag.endswith("}title")]) == len(course())
