"""The list of what does not pass yet can only shrink: a run fails where it and the list differ, either way."""

from pathlib import Path

import pytest

from components.setup.errors import SetupError
from tests.conformance import expectations
from tests.conformance.reports import Result


def test_a_run_fails_where_it_differs_from_the_list() -> None:
    results = [
        Result(name="new failure", state="failed", told="\n  timed out\nat line 3"),
        Result(name="known failure", state="failed", told="timed out"),
        Result(name="passes now", state="passed"),
        Result(name="passes", state="passed"),
        Result(name="wants more nodes", state="skipped", told="needs 2 nodes"),
        Result(name="no time for it", state="not run"),
        Result(name="known, no time for it", state="not run"),
    ]
    reasons = dict.fromkeys(["known failure", "passes now", "known, no time for it"], "a reason")
    assert expectations.complaints(results, reasons) == [
        "failed: new failure: timed out",
        "passes now, take it off not_passed.yaml: passes now",
        "skipped itself: wants more nodes: needs 2 nodes",
    ]


@pytest.mark.parametrize(
    ("text", "told"), [("gone: why", "has no spec 'gone'"), ("here: ''", "has no reason"), ("here:", "has no reason")]
)
def test_a_list_that_says_nothing_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "not_passed.yaml"
    file.write_text(text)
    with pytest.raises(SetupError, match=told):
        expectations.load(["here"], file)


def test_the_list_of_the_project_has_a_reason_for_each_of_its_specs() -> None:
    assert all(reason.strip() for reason in expectations.load(None).values())
