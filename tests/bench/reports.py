"""Figures of a run as a table, as JSON, and as a chart (SVG) of how many times upstream's rate ours is."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from html import escape
from typing import Any

from .contestants import OURS, THEIRS

_WIDTH, _ROW, _LABEL, _TOP = 860, 26, 250, 54
_LONGEST = 12.0


@dataclass
class Measure:
    """One row: a value of each server in each round. `goal` bounds the ratio ours/theirs, `bound` our own value.

    Where `lower` is set, less is better: both are then upper bounds, and lower ones otherwise.
    """

    name: str
    unit: str
    lower: bool = False
    goal: float = 0.0
    bound: float = 0.0
    values: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], THEIRS: []})
    server_cpu: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], THEIRS: []})

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs, round by round."""
        return [mine / theirs for mine, theirs in zip(self.values[OURS], self.values[THEIRS], strict=False) if theirs]

    @property
    def thrift(self) -> float:
        """How many times our server's CPU time for an operation theirs takes; 0 where that is not known.

        On a machine that others use as well this is far steadier than any rate. It leaves out what etcd takes.
        """
        ours, theirs = (self.server_cpu[name] for name in (OURS, THEIRS))
        return (
            statistics.median(theirs) / statistics.median(ours) if ours and theirs and statistics.median(ours) else 0.0
        )

    @property
    def reached(self) -> bool | None:
        """Whether the medians meet what is asked, None where nothing is."""
        verdicts = []
        if self.goal and self.ratios:
            ratio = statistics.median(self.ratios)
            verdicts.append(ratio <= self.goal if self.lower else ratio >= self.goal)
        if self.bound and self.values[OURS]:
            value = statistics.median(self.values[OURS])
            verdicts.append(value <= self.bound if self.lower else value >= self.bound)
        return all(verdicts) if verdicts else None


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    middle = _short(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(measures: list[Measure]) -> str:
    """Lines for a terminal: medians with the least and the most of all rounds."""
    rows: list[tuple[str, ...]] = [
        ("measure", "unit", OURS, THEIRS, "ratio", "goal", "", "CPU us/op", "theirs", "ratio")
    ]
    for measure in measures:
        sign = "<=" if measure.lower else ">="
        goals = [f"{sign} {measure.goal:g}x"] if measure.goal else []
        goals += [f"{sign} {measure.bound:g} {measure.unit}"] if measure.bound else []
        verdict = {True: "yes", False: "NO", None: ""}[measure.reached]
        used = [_short(statistics.median(each)) if each else "" for each in measure.server_cpu.values()]
        used.append(_short(measure.thrift) if measure.thrift else "")
        rows.append(
            (
                measure.name,
                measure.unit,
                _spread(measure.values[OURS]),
                _spread(measure.values[THEIRS]),
                _spread(measure.ratios),
                ", ".join(goals),
                verdict,
                *used,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )


def as_json(measures: list[Measure]) -> list[dict[str, Any]]:
    """Every figure of every round."""
    return [
        {
            "name": each.name,
            "unit": each.unit,
            "lower_is_better": each.lower,
            "goal_ratio": each.goal or None,
            "bound": each.bound or None,
            "reached": each.reached,
            "values": each.values,
            "ratios": each.ratios,
            "server_cpu_microseconds": each.server_cpu,
            "server_cpu_ratio": each.thrift or None,
        }
        for each in measures
    ]


def chart(measures: list[Measure]) -> str:
    """An SVG: a bar for each measure, the median ratio with its spread as a line, and a tick at what is asked.

    Where less is better the bar shows theirs by ours, so that longer is better everywhere.
    """
    shown = [each for each in measures if each.ratios]
    scale = (_WIDTH - _LABEL - 90) / _LONGEST
    height = _TOP + _ROW * len(shown) + 16
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
            'font-size="12"><rect width="100%" height="100%" fill="white"/>'
        ),
        f'<text x="12" y="22" font-size="15">kube-apiserver: {OURS} against {THEIRS} (longer is better)</text>',
        '<text x="12" y="40" fill="#555">bar: median of rounds; line: least and most; red tick: goal</text>',
    ]
    one = _LABEL + scale
    for number, measure in enumerate(shown):
        y = _TOP + number * _ROW
        ratios = [1 / ratio if measure.lower else ratio for ratio in measure.ratios]
        goal = (1 / measure.goal if measure.lower else measure.goal) if measure.goal else 0.0
        middle, least, most = (min(f(ratios), _LONGEST) for f in (statistics.median, min, max))
        colour = "#b33" if measure.reached is False else "#2a7"
        parts += [
            f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(measure.name)}</text>',
            f'<rect x="{_LABEL}" y="{y + 3}" width="{middle * scale:.1f}" height="16" fill="{colour}" opacity="0.75"/>',
            (
                f'<line x1="{_LABEL + least * scale:.1f}" x2="{_LABEL + most * scale:.1f}" y1="{y + 11}" y2="{y + 11}" '
                'stroke="#222"/>'
            ),
            (
                f'<text x="{_LABEL + max(most, middle) * scale + 6:.1f}" y="{y + 15}">'
                f"{statistics.median(ratios):.2f}x</text>"
            ),
        ]
        if goal:
            at = _LABEL + min(goal, _LONGEST) * scale
            parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y}" y2="{y + 22}" stroke="#d00" stroke-width="2"/>')
    parts.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{_TOP - 4}" y2="{height - 12}" stroke="#888" '
                 'stroke-dasharray="3 3"/></svg>')  # fmt: skip
    return "\n".join(parts) + "\n"
