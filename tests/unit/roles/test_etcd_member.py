"""What an etcd member without data decides."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.roles import sources

member = sources.module("etcd/templates/etcd_member.py")


def known(number: int, *, name: str = "", started: bool = True) -> dict[str, Any]:
    """An entry of etcdctl's member list."""
    return {
        "ID": number,
        "name": name or (f"m{number}" if started else ""),
        "peerURLs": [f"https://10.0.0.{number}:2380"],
        "clientURLs": [f"https://10.0.0.{number}:2379"] if started else [],
    }


def test_joins_as_the_entry_that_waits_for_it() -> None:
    action, cluster = member.plan("m3", "10.0.0.3", [known(1), known(2), known(3, started=False)])
    assert action == "start"
    assert cluster == "m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380,m3=https://10.0.0.3:2380"


def test_bootstrapped_entry_that_never_ran_is_its_own() -> None:
    """A member that is late to a bootstrap has a name in the list, but no client URL yet."""
    assert member.plan("m3", "10.0.0.3", [known(1), known(2), known(3, name="m3", started=False)])[0] == "start"


def test_former_self_is_removed() -> None:
    assert member.plan("m3", "10.0.0.3", [known(1), known(2), known(3)]) == ("remove", 3)


def test_unknown_member_is_added() -> None:
    assert member.plan("m3", "10.0.0.3", [known(1), known(2)]) == ("add", None)


@pytest.mark.parametrize(
    ("empty", "released", "may"),
    [
        ({"a", "b"}, {"a", "b"}, True),
        ({"a"}, {"a", "b"}, False),
        ({"a", "b"}, {"a"}, False),
        (set(), set(), False),
    ],
)
def test_silence_is_no_consent(empty: set[str], released: set[str], may: bool) -> None:
    assert member.may_bootstrap({"a", "b"}, empty, released) is may


def test_the_only_member_bootstraps() -> None:
    assert member.may_bootstrap(set(), set(), set())


def test_notes_outlive_a_restart_but_not_another_cluster(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, "NOTES", tmp_path / "bootstrap.json")
    member.Waiting("m1", "token").found_empty("m2")
    assert member.Waiting("m1", "token").empty == {"m2"}
    assert member.Waiting("m1", "other").empty == set()
