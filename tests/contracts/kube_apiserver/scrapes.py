"""Metrics of a server as a collector reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families


class Served(NamedTuple):
    """One metric: its type, and its samples by the name's ending and their labels."""

    kind: str
    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    @property
    def labels(self) -> set[str]:
        """The labels of all samples, but for a bucket's bound."""
        return {name for _, labels in self.samples for name, _ in labels} - {"le"}

    def of(self, ending: str = "", /, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        wanted = set(labels.items())
        return sum(value for (end, found), value in self.samples.items() if end == ending and wanted <= found)


async def scraped(session: aiohttp.ClientSession, path: str = "/metrics") -> dict[str, Served]:
    """What a server tells, by name."""
    async with session.get(path) as answer:
        assert answer.status == 200
        text = await answer.text()
    found = {}
    for family in text_string_to_metric_families(text):
        # The parser takes the ending off counters' names, and gives it to samples that have none.
        parsed = f"{family.name}_total" if family.type == "counter" else family.name
        name = parsed if f"# TYPE {parsed} " in text else family.name
        samples = {
            (each.name.removeprefix(parsed), frozenset(each.labels.items())): each.value for each in family.samples
        }
        found[name] = Served(family.type, samples)
    return found
