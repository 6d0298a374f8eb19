"""A JUnit report of upstream's suite, read for what was asked of it and written again as one for the run."""

from pathlib import Path

from tests.conformance import reports
from tests.conformance.reports import Result

REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite>
  <testcase name="[SynchronizedBeforeSuite]" status="passed" time="1"></testcase>
  <testcase name="[It] [sig-auth] A" status="passed" time="1.5"></testcase>
  <testcase name="[It] [sig-auth] B" status="failed" time="2">
    <failure type="failed">no pod</failure><system-err>story</system-err>
  </testcase>
  <testcase name="[It] [sig-auth] C" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
  <testcase name="[It] [sig-auth] D" status="skipped" time="0">
    <skipped message="skipped - needs 2 nodes"></skipped>
  </testcase>
  <testcase name="[It] [sig-auth] E" status="timedout" time="9"><failure type="timedout">cut</failure></testcase>
  <testcase name="[It] [sig-auth] F" status="panicked" time="1"><error type="panicked">nil map</error></testcase>
</testsuite></testsuites>
"""


def test_each_spec_asked_for_has_a_result(tmp_path: Path) -> None:
    file = tmp_path / "junit_01.xml"
    file.write_text(REPORT)
    results = reports.read(file, [f"[sig-auth] {letter}" for letter in "ABCDEFG"])
    assert [(result.state, result.told) for result in results] == [
        ("passed", ""),
        ("failed", "no pod"),
        ("not run", ""),
        ("skipped", "needs 2 nodes"),
        ("not run", "cut"),
        ("failed", "nil map"),
        ("not run", ""),
    ]
    assert results[1].log == "story"


def test_no_report_means_that_nothing_was_run(tmp_path: Path) -> None:
    assert [result.state for result in reports.read(tmp_path / "none.xml", ["[sig-auth] A"])] == ["not run"]


def test_what_is_written_is_read_back_by_area(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    reports.write(
        file,
        [
            Result(name="[sig-auth] A", state="passed", seconds=1),
            Result(name="[sig-apps] B", state="failed", seconds=2, told="\x1b[31mred", log="story"),
            Result(name="[sig-apps] C", state="not run"),
        ],
    )
    text = file.read_text()
    assert '<testsuite name="apps" tests="2" failures="1" skipped="1" time="2.0">' in text
    assert '<testsuite name="auth" tests="1" failures="0" skipped="0" time="1.0">' in text
    assert "[31mred" in text
    assert "\x1b" not in text
