"""What queries of writes and lists are refused for, in upstream's words."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from keelson.api import errors
from keelson.kube_apiserver.registry import listing, parameters
from keelson.kube_apiserver.serving.messages import Request

APPLY = "application/apply-patch+yaml"


def request(query: str, content_type: str = "application/json") -> Request:
    return Request("POST", f"/x?{query}", {"content-type": content_type}, b"", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", False), ("a", True), ("a=", True), ("a=x", True), ("a=1", True), ("a=0", False), ("a=False", False)],
)
def test_a_flag_is_set_by_whatever_does_not_deny_it(query: str, expected: bool) -> None:
    assert parameters.flag(request(query), "a") is expected


@pytest.mark.parametrize(
    ("verb", "query", "message"),
    [
        ("create", "dryRun=x", 'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["x"]: '),
        ("update", "dryRun=", 'UpdateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: [""]: '),
        ("delete", "dryRun=All&dryRun=y", 'dryRun: Unsupported value: ["All","y"]: supported values: "All"'),
        ("create", "fieldManager=" + "é" * 65, "fieldManager: Too long: may not be more than 128 bytes"),
        (
            "create",
            "fieldManager=" + quote("é\x01"),
            'fieldManager: Invalid value: "é\\x01": invalid character U+0001 (at position 2)',
        ),
        ("patch", "force=false", "force: Forbidden: may not be specified for non-apply patch"),
        (
            "patch",
            "fieldValidation=strict",
            'fieldValidation: Unsupported value: "strict": supported values: "", "Ignore", "Strict", "Warn"',
        ),
    ],
)
def test_writes_are_refused(verb: str, query: str, message: str) -> None:
    with pytest.raises(errors.StatusError) as refused:
        parameters.check_write(request(query), verb)
    assert refused.value.code == 422
    assert message in refused.value.message
    assert "name" not in refused.value.details


def test_all_that_is_wrong_with_an_apply_is_told_at_once() -> None:
    with pytest.raises(errors.StatusError) as refused:
        parameters.check_write(request("dryRun=x&force=1", APPLY), "patch")
    assert [each["field"] for each in refused.value.details["causes"]] == ["fieldManager", "dryRun"]


def test_deletions_do_not_mind_what_only_other_writes_have() -> None:
    parameters.check_write(request("fieldManager=%01&fieldValidation=x&dryRun=All"), "delete")


@pytest.mark.parametrize(
    ("match", "version", "continued", "initial", "watch", "fields"),
    [
        ("Exact", "", False, False, False, ["resourceVersionMatch"]),
        ("x", "0", True, False, False, ["resourceVersionMatch", "resourceVersionMatch"]),
        ("Exact", "0", False, False, False, ["resourceVersionMatch"]),
        ("", "", False, True, False, ["sendInitialEvents"]),
        ("", "", False, True, True, ["resourceVersionMatch"]),
        ("NotOlderThan", "", False, False, True, ["resourceVersionMatch"]),
        ("Exact", "5", False, True, True, ["resourceVersionMatch", "resourceVersionMatch"]),
    ],
)
def test_options_of_lists_that_do_not_go_together(
    match: str, version: str, continued: bool, initial: bool, watch: bool, fields: list[str]
) -> None:
    with pytest.raises(errors.StatusError) as refused:
        parameters.check_list(match=match, version=version, continued=continued, initial=initial, watch=watch)
    assert [each["field"] for each in refused.value.details["causes"]] == fields


def test_tokens_are_as_upstream_writes_them() -> None:
    # What upstream's server answers to limit=1 where "three" comes first: either server goes on with the other's.
    token = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NjczLCJzdGFydCI6InRocmVlXHUwMDAwIn0"
    assert listing.decode_continue(token) == (673, "three\0")
    assert listing.encode_continue(673, "three\0") == token


@pytest.mark.parametrize(
    ("start", "why"), [("../a", "../a"), ("a//b", "a//b"), ("", "encoded start key empty"), ("a/./b", "a/./b")]
)
def test_tokens_that_lead_elsewhere_are_refused(start: str, why: str) -> None:
    with pytest.raises(errors.StatusError, match="invalid continue token: continue key is not valid: ") as refused:
        listing.decode_continue(listing.encode_continue(5, start))
    assert why in refused.value.message


@pytest.mark.parametrize("text", ["x", "-1", "1x", "9" * 30, "²"])
def test_revisions_that_are_none(text: str) -> None:
    with pytest.raises(errors.StatusError, match="ParseUint"):
        listing.revision_of(text)
