"""Field selectors: terms, escapes, errors."""

import pytest

from keelson.api import field_selectors

POD = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"hostNetwork": True},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("metadata.name=web", True),
        ("metadata.name==web,status.phase!=Failed", True),
        ("metadata.name!=web", False),
        ("spec.hostNetwork=true", True),
        ("spec.nodeName=", True),
        ("spec.nodeName!=", False),
        ("metadata.name.deeper=x", False),
    ],
)
def test_matches(text: str, expected: bool) -> None:
    assert field_selectors.parse(text).matches_object(POD) is expected


def test_escapes() -> None:
    selector = field_selectors.parse(r"a=x\,y\=z\\,b!=1")
    assert [(t.field, t.operator, t.value) for t in selector.terms] == [("a", "=", "x,y=z\\"), ("b", "!=", "1")]
    assert field_selectors.parse(str(selector)) == selector


@pytest.mark.parametrize("text", ["name", "a=b=c", r"a=\x", "a=\\", "a,b=c"])
def test_refused(text: str) -> None:
    with pytest.raises(field_selectors.FieldSelectorError):
        field_selectors.parse(text)


def test_exact_and_fields() -> None:
    selector = field_selectors.parse("metadata.name=web,status.phase!=Failed")
    assert selector.exact("metadata.name") == "web"
    assert selector.exact("status.phase") is None
    assert selector.fields == ("metadata.name", "status.phase")
