"""What is remembered of those who came lately."""

from __future__ import annotations

from keelson.kube_apiserver.recents import Recent


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_used_stays_and_what_is_not_goes_with_time() -> None:
    clock = Clock()
    recent: Recent[str, int] = Recent(100, 60, clock)
    recent["used"], recent["left"] = 1, 2
    for number in range(200):
        clock.now += 1
        recent[f"another-{number}"] = 0
        assert recent.get("used") == 1
    assert recent.get("left") is None
    assert len(recent) <= 2 * 61 + 1


def test_what_was_used_within_its_time_is_never_dropped() -> None:
    clock = Clock()
    recent: Recent[str, int] = Recent(100, 60, clock)
    for number in range(20):
        recent["used"] = 1
        for each in range(59):
            clock.now += 1
            recent[f"{number}/{each}"] = 0
        assert recent.get("used") == 1


def test_no_more_than_twice_the_most_are_kept_at_once() -> None:
    recent: Recent[int, int] = Recent(10, 60, Clock())
    for number in range(1000):
        recent[number] = number
    assert len(recent) <= 20
    assert recent.get(999) == 999
    assert recent.get(0) is None


def test_nothing_is_left_once_it_is_cleared() -> None:
    clock = Clock()
    recent: Recent[str, int] = Recent(10, 60, clock)
    recent["old"] = 1
    clock.now += 100
    recent["young"] = 2
    recent.clear()
    assert len(recent) == 0
    assert recent.get("old") is recent.get("young") is None
