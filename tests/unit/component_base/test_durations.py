"""Go's notation of durations, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelson.component_base import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("10s", 10), ("1m30s", 90), ("1h", 3600), ("300ms", 0.3), ("1.5h", 5400), ("-2m", -120), ("+5s", 5)],
)
def test_parse(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "1d", "10 s", "1m-30s", "--1s", "1.s.s"])
def test_refusals(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        durations.parse(text)


@given(st.integers(min_value=-(10**10), max_value=10**10))
def test_format_is_read_back(milliseconds: int) -> None:
    assert durations.parse(durations.format(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-3)
