"""The course of a bring-up as the events of Pulumi's engine tell it: who did what, from when to when; listed or drawn.

The events are those of `pulumi up --event-log`, one JSON object a line (apitype.EngineEvent), timed in whole seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

_TASK = re.compile(r"^\S+: (\w+) : ")
_HEALTH = re.compile(r": waits for health$")
_LANES = {
    "keelson:index:ClusterObjects": "add-ons",
    "keelson:index:ControlPlaneLabels": "add-ons",
    "keelson:index:Verification": "verification",
    "keelson:index:LabNetwork": "network",
    "keelson:index:Certificate": "keys",
    "keelson:index:CertificateAuthority": "keys",
    "keelson:index:ServiceAccountKey": "keys",
}
_HOST_KINDS = {"keelson:index:MachineContainer": "boot", "keelson:index:Convergence": "transfer"}
# One for each role and what comes before and after them, neighbours in time far apart.
_COLOURS = (
    "#4477aa", "#ee8866", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#ee6677", "#44bb99", "#332288", "#999933",
    "#882255", "#77aadd", "#ffaabb", "#117733",
)  # fmt: skip
_WHOLE_STACK = "#999999"
_LEFT, _WIDTH, _ROW, _TOP, _LEGEND_COLUMNS = 130, 900, 26, 40, 5


@dataclass(frozen=True)
class Span:
    """What one lane (a host, or a concern of the whole stack) did, in seconds since the first event."""

    lane: str
    phase: str
    begin: float
    end: float


def read(lines: Iterable[str]) -> list[Span]:
    """Return the spans that the engine's events tell of, in the order in which they ended."""
    spans: list[Span] = []
    doing: dict[str, tuple[str, str, float]] = {}
    start: float | None = None

    def turn(urn: str, lane: str, phase: str | None, at: float) -> None:
        if urn in doing:
            was_lane, was, since = doing[urn]
            if was == phase:
                return
            spans.append(Span(was_lane, was, since, at))
            del doing[urn]
        if phase is not None:
            doing[urn] = (lane, phase, at)

    for line in lines:
        event = json.loads(line)
        start = event["timestamp"] if start is None else start
        at = event["timestamp"] - start
        if "resourcePreEvent" in event or "resOutputsEvent" in event:
            metadata = (event.get("resourcePreEvent") or event["resOutputsEvent"])["metadata"]
            known = _place(metadata["urn"])
            if known is not None:
                turn(metadata["urn"], known[0], known[1] if "resourcePreEvent" in event else None, at)
        elif "diagnosticEvent" in event:
            urn = event["diagnosticEvent"].get("urn", "")
            phase = _phase(event["diagnosticEvent"]["message"].strip())
            if phase is not None and urn in doing:
                turn(urn, doing[urn][0], phase, at)
    return spans


def table(spans: list[Span]) -> str:
    """Return one line a phase, in the order in which they begin: when it ran, and how long at most on one lane."""
    lines = []
    for phase in _phases(spans):
        own = [span for span in spans if span.phase == phase]
        lanes = {span.lane for span in own}
        longest = max(_busy([span for span in own if span.lane == lane]) for lane in lanes)
        begin, end = min(span.begin for span in own), max(span.end for span in own)
        where = f" on {len(lanes)} hosts" if len(lanes) > 1 else ""
        lines.append(f"  {phase:<24} {begin:>4.0f} s to {end:>4.0f} s, {longest:>3.0f} s at most{where}\n")
    return "".join(lines)


def drawing(spans: list[Span], title: str) -> str:
    """Return an SVG document: a row a lane, a bar a span, time from left to right."""
    lanes = sorted({span.lane for span in spans}, key=lambda lane: (lane in _LANES.values(), lane))
    # A concern of the whole stack is named by its lane, and needs no colour of its own.
    phases = _phases([span for span in spans if span.phase != span.lane])
    colours = {phase: _COLOURS[index % len(_COLOURS)] for index, phase in enumerate(phases)}
    whole = max((span.end for span in spans), default=1) or 1
    bottom = _TOP + _ROW * len(lanes)
    height = bottom + 50 + 20 * -(-len(phases) // _LEGEND_COLUMNS)
    size = f'width="{_LEFT + _WIDTH + 30}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="15">{escape(title)}</text>',
    ]
    step = next(step for step in (5, 10, 20, 60, 300) if whole / step <= 15 or step == 300)
    for second in range(0, int(whole) + 1, step):
        x = _LEFT + _WIDTH * second / whole
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{second} s</text>')
    for row, lane in enumerate(lanes):
        y = _TOP + _ROW * row
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(lane)}</text>')
        for span in spans:
            if span.lane == lane:
                x, width = _LEFT + _WIDTH * span.begin / whole, max(_WIDTH * (span.end - span.begin) / whole, 1)
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 6}" '
                    f'fill="{colours.get(span.phase, _WHOLE_STACK)}">'
                    f"<title>{escape(span.phase)}: {span.end - span.begin:.0f} s</title></rect>"
                )
    for index, phase in enumerate(phases):
        x = _LEFT + _WIDTH / _LEGEND_COLUMNS * (index % _LEGEND_COLUMNS)
        y = bottom + 34 + 20 * (index // _LEGEND_COLUMNS)
        parts.append(f'<rect x="{x:.0f}" y="{y}" width="12" height="12" fill="{colours[phase]}"/>')
        parts.append(f'<text x="{x + 17:.0f}" y="{y + 11}">{escape(phase)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _busy(spans: list[Span]) -> float:
    """Return for how many seconds at least one of the spans ran."""
    total, reached = 0.0, 0.0
    for span in sorted(spans, key=lambda span: span.begin):
        total += max(0.0, span.end - max(span.begin, reached))
        reached = max(reached, span.end)
    return total


def _phases(spans: list[Span]) -> list[str]:
    return sorted(
        {span.phase for span in spans}, key=lambda name: (min(s.begin for s in spans if s.phase == name), name)
    )


def _place(urn: str) -> tuple[str, str] | None:
    """Return the lane of a resource and its first phase, or None for one that does nothing worth a bar."""
    kind, name = urn.split("::")[2].rsplit("$", 1)[-1], urn.rsplit("::", 1)[-1]
    if kind in _HOST_KINDS:
        return name, _HOST_KINDS[kind]
    lane = _LANES.get(kind)
    return None if lane is None else (lane, lane)


def _phase(message: str) -> str | None:
    task = _TASK.match(message)
    if task is not None:
        return task[1]
    return "health" if _HEALTH.search(message) else None
