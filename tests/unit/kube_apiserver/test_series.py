"""Numbers of what is gone are dropped, those of what is there never."""

from keelson.kube_apiserver.series import Series


def test_labels_that_come_and_go_leave_nothing_behind() -> None:
    there = {"pods"}
    series = Series[str, list[str]](lambda name: [name], there.__contains__)
    pods = series["pods"]
    for number in range(100_000):
        name = f"things-{number}"
        there.add(name)
        assert series[name] == [name]
        there.remove(name)
    assert series["pods"] is pods
    assert len(series) < 3000


def test_nothing_that_is_there_is_dropped() -> None:
    series = Series[int, list[int]](lambda number: [number], lambda _number: True)
    for number in range(5000):
        series[number].append(0)
    assert all(series[number] == [number, 0] for number in range(5000))
