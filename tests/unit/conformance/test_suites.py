"""The driver of upstream's suite: batches side by side, serial specs alone and last, an end at the deadline."""

import sys
import time
from pathlib import Path

import pytest

from components.setup.errors import SetupError
from tests.conformance import specs
from tests.conformance.suites import Run, Suite

# Stands where the suite would: passes what it is given, notes when, and takes as long as a spec's name says.
PROGRAM = """#!{python}
import pathlib, re, sys, time
place = next(a for a in sys.argv if a.startswith("--report-dir=")).partition("=")[2]
given = [a.partition("=")[2] for a in sys.argv if a.startswith("--ginkgo.focus=")]
names = [re.sub(r"\\\\(.)", r"\\1", focus)[:-1] for focus in given]
with open("{notes}", "a") as notes:
    notes.write(f"begin {{names}}\\n")
time.sleep(0.05)
cases = "".join(f'<testcase name="[It] {{n}}" status="passed" time="0.1"/>' for n in names)
pathlib.Path(place, "junit_01.xml").write_text(f"<testsuites><testsuite>{{cases}}</testsuite></testsuites>")
with open("{notes}", "a") as notes:
    notes.write(f"end {{names}}\\n")
"""


def suite(folder: Path) -> Suite:
    program = folder / "e2e.test"
    program.write_text(PROGRAM.format(python=sys.executable, notes=folder / "notes"))
    program.chmod(0o755)
    return Suite(program=program, kubeconfig=folder, kubectl=folder, nodes=2, place=folder / "reports")


def test_serial_specs_run_alone_after_all_others(tmp_path: Path) -> None:
    names = ["[sig-a] X [Serial] (1)", "[sig-a] Y", "[sig-a] Z: *not*", "[sig-a] W"]
    run = Run(suite=suite(tmp_path), names=names, processes=2, deadline=time.monotonic() + 60)
    assert [(result.name, result.state) for result in run.run()] == [(name, "passed") for name in names]
    assert (tmp_path / "notes").read_text().splitlines()[-2:] == [f"begin {names[:1]}", f"end {names[:1]}"]


def test_nothing_begins_after_the_deadline(tmp_path: Path) -> None:
    run = Run(suite=suite(tmp_path), names=["[sig-a] Y"], processes=1, deadline=time.monotonic())
    assert [result.state for result in run.run()] == ["not run"]
    assert not (tmp_path / "notes").exists()


def test_a_choice_that_is_empty_is_an_error() -> None:
    names = ["[sig-auth] A", "[sig-apps] B"]
    assert specs.chosen(names, area_="auth", focus="") == ("[sig-auth] A",)
    assert specs.chosen(names, area_="", focus="B$") == ("[sig-apps] B",)
    for area, focus, told in (("auth", "B", "no spec"), ("nodes", "", "no area"), ("", "(", "regular expression")):
        with pytest.raises(SetupError, match=told):
            specs.chosen(names, area_=area, focus=focus)
