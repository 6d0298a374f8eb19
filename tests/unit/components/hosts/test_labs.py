"""A lab's names are its own, fit where they are used, and do not depend on how its path is written."""

from pathlib import Path

import pytest

from components.hosts.errors import HostError
from components.hosts.labs import Lab


def test_two_clones_and_two_stacks_share_no_name(tmp_path: Path) -> None:
    labs = [Lab(clone=tmp_path / clone, stack=stack) for clone, stack in (("a", "dev"), ("b", "dev"), ("a", "ha"))]
    for names in ([lab.id for lab in labs], [lab.namespace for lab in labs], [lab.link for lab in labs]):
        assert len(set(names)) == 3


def test_a_path_written_otherwise_is_the_same_lab(tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    (tmp_path / "link").symlink_to("clone")
    assert Lab(clone=tmp_path / "link" / ".", stack="dev") == Lab(clone=tmp_path / "clone", stack="dev")


def test_an_interface_name_fits(tmp_path: Path) -> None:
    assert len(Lab(clone=tmp_path, stack="a" * 32).link) <= 15


@pytest.mark.parametrize("stack", ["", "Dev", "a_b", "-a", "a-", "a" * 33, "../x"])
def test_a_stack_that_no_host_name_can_contain_is_refused(tmp_path: Path, stack: str) -> None:
    with pytest.raises(HostError):
        Lab(clone=tmp_path, stack=stack)


def test_state_is_closed_to_others(tmp_path: Path) -> None:
    lab = Lab(clone=tmp_path, stack="dev")
    lab.make_directory()
    assert (tmp_path / ".state").stat().st_mode & 0o777 == 0o700
    assert lab.hosts_directory.stat().st_mode & 0o777 == 0o700
