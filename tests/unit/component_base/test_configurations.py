"""A configuration file is used whole or refused by file and field."""

from pathlib import Path

import pytest

from keelson.component_base.configurations import ConfigurationError, Fields, load


def _file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[", "not valid YAML"),
        ("- a", "must be a mapping"),
        ("kind: Other\napiVersion: v1", "want v1 Thing, found v1 Other"),
    ],
)
def test_documents_that_are_no_configuration(tmp_path: Path, text: str, part: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ConfigurationError, match=part) as caught:
        load(path, kind="Thing", api_versions=("v1",))
    assert path in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load(str(tmp_path / "none"), kind="Thing", api_versions=("v1",))


def test_fields_are_typed_and_unknown_ones_refused() -> None:
    fields = Fields("f", {"a": 1, "period": "1m", "nested": {"x": True, "typo": 1}, "absent": None})
    assert fields.get("a", int, 0) == 1
    assert fields.get("absent", str, "default") == "default"
    assert fields.seconds("period", 5) == 60
    assert fields.child("nested").get("x", bool, False) is True
    with pytest.raises(ConfigurationError, match=r"f\.nested\.typo: unknown field"):
        fields.close()


@pytest.mark.parametrize(("value", "part"), [("1", "want int, found str"), (True, "want int, found bool")])
def test_a_wrong_type_names_the_field(value: object, part: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"f\.n: {part}"):
        Fields("f", {"n": value}).get("n", int, 0)
