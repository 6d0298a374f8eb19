"""JUnit reports of upstream's suite: read for what was asked of it, and written as one for the whole run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from tests.conformance import specs

State = Literal["passed", "failed", "skipped", "not run"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one spec ended. `told` is what it complained of, or why it was skipped; `log` is its whole story."""

    name: str
    state: State
    seconds: float = 0.0
    told: str = ""
    log: str = ""


def read(file: Path, names: Iterable[str]) -> list[Result]:
    """Return the results of the specs called `names`; one that the report lacks or never reached is "not run"."""
    cases: dict[str, ET.Element] = {}
    if file.is_file():
        for case in ET.parse(file).iter("testcase"):
            # Reports set the kind of node before the name.
            cases[case.get("name", "").removeprefix("[It] ")] = case
    return [_result(name, cases.get(name)) for name in names]


def _result(name: str, case: ET.Element | None) -> Result:
    if case is None:
        return Result(name=name, state="not run")
    seconds = float(case.get("time", "0"))
    status = case.get("status", "")
    if status == "passed":
        return Result(name=name, state="passed", seconds=seconds)
    skipped = case.find("skipped")
    if skipped is not None:
        _, _, reason = skipped.get("message", "").partition(" - ")
        return Result(name=name, state="skipped" if reason else "not run", seconds=seconds, told=reason)
    complaint = case.find("failure") if case.find("failure") is not None else case.find("error")
    text = (complaint.text or complaint.get("message") or "") if complaint is not None else ""
    return Result(
        name=name,
        # One that the end of the time budget cut off has shown nothing.
        state="not run" if status in ("timedout", "interrupted", "aborted") else "failed",
        seconds=seconds,
        told=text.strip(),
        log=case.findtext("system-err", ""),
    )


def write(file: Path, results: Iterable[Result]) -> None:
    """Write one report of a run: a suite for each area."""
    suites: dict[str, list[Result]] = {}
    for result in results:
        suites.setdefault(specs.area(result.name), []).append(result)
    root = ET.Element("testsuites")
    for name, members in sorted(suites.items()):
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(members)),
            failures=str(sum(member.state == "failed" for member in members)),
            skipped=str(sum(member.state in ("skipped", "not run") for member in members)),
            time=f"{sum(member.seconds for member in members):.1f}",
        )
        for member in members:
            case = ET.SubElement(suite, "testcase", classname=name, name=member.name, time=f"{member.seconds:.1f}")
            if member.state == "failed":
                ET.SubElement(case, "failure").text = _printable(member.told)
                ET.SubElement(case, "system-err").text = _printable(member.log)
            elif member.state != "passed":
                ET.SubElement(case, "skipped", message=_printable(member.told) or member.state)
    tree = ET.ElementTree(root)
    ET.indent(tree)
    tree.write(file, encoding="utf-8", xml_declaration=True)


def _printable(text: str) -> str:
    # XML 1.0 has no place for most control characters, which programs print all the same.
    return "".join(character for character in text if character >= " " or character in "\t\n")
