"""The bench's verdicts and its table: what is better, and what counts as reached."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.bench import reports
from tests.bench.contestants import OURS, THEIRS
from tests.bench.reports import Measure


def _measure(ours: list[float], theirs: list[float], **more: float | bool) -> Measure:
    return Measure("get", "/s", values={OURS: ours, THEIRS: theirs}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("measure", "reached"),
    [
        (_measure([300], [100]), None),
        (_measure([300], [100], goal=3.0), True),
        (_measure([290], [100], goal=3.0), False),
        (_measure([60], [100], goal=0.7, lower=True), True),
        (_measure([80], [100], goal=0.7, lower=True), False),
        (_measure([160], [500], goal=0.4, bound=150, lower=True), False),
        (_measure([40], [], bound=50, lower=True), True),
    ],
)
def test_what_counts_as_reached(measure: Measure, reached: bool | None) -> None:
    assert measure.reached is reached


def test_the_median_of_the_rounds_decides_and_the_table_tells_the_spread() -> None:
    measure = _measure([100, 400, 900], [100, 100, 100], goal=3.0)
    assert measure.reached is True
    assert "4.00 (1.00-9.00)" in reports.table([measure])


def test_the_chart_is_well_formed_and_turns_what_should_be_low_upside_down() -> None:
    drawn = reports.chart([_measure([50], [100], goal=0.7, lower=True), _measure([1], [])])
    ET.fromstring(drawn)
    assert "2.00x" in drawn
