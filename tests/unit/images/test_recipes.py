"""A recipe is checked before anything is built, and its comments do not make a new image."""

from pathlib import Path

import pytest

from components.setup.errors import SetupError
from images.machine import recipes

MINIMAL = "suite: trixie\ncomponents: [main]\nvariant: minbase\npackages: [systemd]\n"


def test_the_recipe_of_the_project_is_valid() -> None:
    assert "systemd" in recipes.load().packages


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("pakages: [x1]", "pakages"),
        ("files: {/etc/../../x: y}", "files"),
        ("masked_units: [ssh]", "masked_units"),
        ("packages: ['a; rm']", "packages"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, line: str, named: str) -> None:
    file = tmp_path / "recipe.yaml"
    key = line.split(":")[0]
    kept = "".join(row + "\n" for row in MINIMAL.splitlines() if not row.startswith(f"{key}:"))
    file.write_text(kept + line + "\n")
    with pytest.raises(SetupError, match=named):
        recipes.load(file)


def test_a_recipe_that_extends_another_adds_to_it(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(MINIMAL + "files: {/etc/one: a, /etc/two: b}\n")
    more = tmp_path / "more.yaml"
    more.write_text("extends: recipe.yaml\npackages: [systemd, udev]\nsuite: forky\nfiles: {/etc/two: c}\n")
    recipe = recipes.load(more)
    assert recipe.packages == ["systemd", "udev"]
    assert recipe.suite == "forky"
    assert recipe.files == {"/etc/one": "a", "/etc/two": "c"}


@pytest.mark.parametrize("path", [recipes.VIRTUAL, recipes.HYPERVISOR])
def test_the_recipes_that_extend_the_projects_are_valid(path: Path) -> None:
    assert set(recipes.load().packages) < set(recipes.load(path).packages)


def test_a_comment_does_not_change_what_it_means(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in "123")
    one.write_text(MINIMAL)
    two.write_text("# why\n" + MINIMAL)
    three.write_text(MINIMAL.replace("[systemd]", "[systemd, kmod]"))
    assert recipes.load(one).canonical() == recipes.load(two).canonical()
    assert recipes.load(one).canonical() != recipes.load(three).canonical()


def test_where_packages_come_from_does_not_change_what_it_means(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(MINIMAL)
    two.write_text(MINIMAL + "mirror: http://192.0.2.1/debian\n")
    assert recipes.load(two).mirror
    assert recipes.load(one).canonical() == recipes.load(two).canonical()
