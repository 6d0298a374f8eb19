"""How long each phase of `make up` took."""

from components.setup.runs import Times


def test_each_phase_is_measured_from_the_end_of_the_one_before() -> None:
    ticks = iter([10.0, 10.5, 12.0])
    times = Times(lambda: next(ticks))
    times.ended("tools")
    times.ended("images")
    assert str(times) == "tools 0.5 s, images 1.5 s"
