"""Label selectors: the grammar, its errors, and LabelSelectors of specs."""

import pytest

from keelson.api import selectors

LABELS = {"app": "web", "tier": "front", "replicas": "3", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier=front", True),
        ("app!=web", False),
        ("absent!=web", True),
        ("app in (web, api)", True),
        ("app notin (web)", False),
        ("absent notin (web)", True),
        ("app", True),
        ("!app", False),
        ("! absent", True),
        ("replicas>2", True),
        ("replicas<3", False),
        ("app>2", False),
        ("empty=", True),
        ("empty in (,)", True),
        ("empty in (a,,b)", True),
        ("app=,tier", False),
        ("in in (in)", False),
        ("example.com/name=x", False),
        (",", None),
        ("app=web,", None),
        ("app in web", None),
        ("app in (web", None),
        ("app in ()", False),
        ("app ~ web", None),
        ("a b", None),
        ("=web", None),
        ("app=a=b", None),
        ("app=-x", None),
        ("a/b/c=d", None),
        ("/b=d", None),
        ("x" * 64, None),
        ("app>two", None),
        ("app>" + "9" * 40, None),
    ],
)
def test_parse(text: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(selectors.SelectorError):
            selectors.parse(text)
    else:
        assert selectors.parse(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b,", "found '', expected: identifier after ','"),
        ("a~b c", 'unable to parse requirement: <nil>: Invalid value: "a~b": name part must consist of'),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(selectors.SelectorError) as caught:
        selectors.parse(text)
    assert str(caught.value).startswith(message)


def test_text_is_parsed_back() -> None:
    text = "app in (a,b),count>3,!gone,tier!=back,zone"
    assert str(selectors.parse(text)) == text
    assert selectors.parse(str(selectors.parse(text))) == selectors.parse(text)


def test_label_selector() -> None:
    assert not selectors.from_label_selector(None).matches(LABELS)
    assert selectors.from_label_selector({}).matches(LABELS)
    spec = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front", "edge"]},
            {"key": "gone", "operator": "DoesNotExist"},
            {"key": "zone", "operator": "NotIn", "values": ["a"]},
        ],
    }
    assert selectors.from_label_selector(spec).matches(LABELS)
    assert not selectors.from_label_selector(spec).matches({**LABELS, "zone": "a"})
    with pytest.raises(selectors.SelectorError):
        selectors.from_label_selector({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]})
    with pytest.raises(selectors.SelectorError):
        selectors.from_label_selector({"matchExpressions": [{"key": "a", "operator": "In"}]})


def test_plain_maps_and_node_terms() -> None:
    assert selectors.from_labels({"app": "web"}).matches(LABELS)
    assert selectors.from_labels(None).empty
    terms = [{"key": "replicas", "operator": "Gt", "values": ["2"]}]
    assert selectors.from_node_selector_terms(terms).matches(LABELS)


def test_exact() -> None:
    assert selectors.parse("app in (web)").exact("app") == "web"
    assert selectors.parse("app!=web").exact("app") is None
