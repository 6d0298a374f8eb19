"""The generated types are what their generator writes."""

import importlib.util
from pathlib import Path

from keelson.api._gen import kinds

ROOT = Path(__file__).parents[3]


def test_the_generated_types_are_current() -> None:
    spec = importlib.util.spec_from_file_location("typed_dicts", ROOT / "tools" / "typed_dicts.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.TARGET.read_text() == generator.text(), "run python tools/typed_dicts.py"


def test_types_name_real_fields() -> None:
    assert {"containers", "nodeName"} <= set(kinds.PodSpec.__annotations__)
    assert "nodeNam" not in kinds.PodSpec.__annotations__
