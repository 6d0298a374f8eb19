"""Which form an Accept header gets."""

from __future__ import annotations

import pytest

from keelson.api.errors import StatusError
from keelson.kube_apiserver.serving.messages import Request
from keelson.kube_apiserver.serving.negotiation import (
    JSON,
    OBJECT,
    PARTIAL,
    PARTIAL_LIST,
    PROTOBUF,
    TABLE,
    YAML,
    negotiate,
    wants_pretty,
)

META = "g=meta.k8s.io;v=v1"


@pytest.mark.parametrize(
    ("accept", "media_type", "as_kind"),
    [
        ("", JSON, OBJECT),
        ("*/*", JSON, OBJECT),
        (PROTOBUF, PROTOBUF, OBJECT),
        # Alike to the client: what is cheap to make.
        (f"{PROTOBUF}, {JSON}", JSON, OBJECT),
        (f"{PROTOBUF}, */*", JSON, OBJECT),
        (f"{PROTOBUF}, application/yaml", PROTOBUF, OBJECT),
        (f"{PROTOBUF},{JSON};q=0.9", PROTOBUF, OBJECT),
        (f"{JSON};q=0.5, {PROTOBUF};q=0.2", JSON, OBJECT),
        ("*/*, application/yaml", YAML, OBJECT),
        ("text/html, application/yaml;q=0.1", YAML, OBJECT),
        (f"{PROTOBUF};stream=watch", PROTOBUF, OBJECT),
        (f"{JSON};stream=other, application/yaml", YAML, OBJECT),
        (f"{JSON};as=Table;{META}, {JSON}", JSON, TABLE),
        (f"{PROTOBUF};as=Table;{META}, {JSON};as=Table;{META}", JSON, TABLE),
        (f"{JSON};as=Unheard;{META}, {JSON}", JSON, OBJECT),
        (f"{PROTOBUF};as=PartialObjectMetadata;{META}", PROTOBUF, PARTIAL),
        (f"{PROTOBUF};as={PARTIAL_LIST};{META},{JSON};as={PARTIAL_LIST};{META}", JSON, PARTIAL_LIST),
    ],
)
def test_forms(accept: str, media_type: str, as_kind: str) -> None:
    assert negotiate(accept)[:2] == (media_type, as_kind)


def test_custom_objects_have_no_protobuf_but_their_metadata_has() -> None:
    assert negotiate(f"{PROTOBUF},application/yaml", custom=True).media_type == YAML
    assert negotiate(f"{PROTOBUF};as=PartialObjectMetadata;{META}", custom=True)[:2] == (PROTOBUF, PARTIAL)
    with pytest.raises(StatusError) as caught:
        negotiate(PROTOBUF, custom=True)
    assert caught.value.code == 406


def test_the_version_of_tables_and_metadata_is_the_clients_choice() -> None:
    assert negotiate(f"{JSON};as=Table;g=meta.k8s.io;v=v1beta1").version == "v1beta1"
    assert negotiate(f"{JSON};as=Table;g=meta.k8s.io;v=v2,{YAML}") == (YAML, OBJECT, "v1", False)


def test_json_for_people() -> None:
    assert negotiate(f"{JSON};pretty=1").pretty
    assert not negotiate(f"{YAML};pretty=1").pretty


@pytest.mark.parametrize(
    ("query", "agent", "expected"),
    [
        ("", "", False),
        ("", "kubectl/v1.36", False),
        ("", "curl/8.1", True),
        ("", "Mozilla/5.0 (X11)", True),
        ("pretty=false", "curl/8.1", False),
        ("pretty", "curl/8.1", True),
        ("pretty=x", "curl/8.1", False),
        ("pretty=t", "kubectl", True),
        ("ugly=1&xpretty=1", "kubectl", False),
    ],
)
def test_who_reads_for_himself(query: str, agent: str, expected: bool) -> None:
    request = Request("GET", f"/api?{query}" if query else "/api", {"user-agent": agent}, b"", None)
    assert wants_pretty(request) is expected


_OFFERED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_STREAMED = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"


@pytest.mark.parametrize(
    ("accept", "streams", "message"),
    [
        ("text/html", False, f"406: Not Acceptable\n\nAvailable representations: {_OFFERED}"),
        ("text/html", True, f"406: Not Acceptable\n\nAvailable representations: {_OFFERED}, {_STREAMED}"),
        (f"{JSON};as=Unheard;{META}", False, f"only the following media types are accepted: {_OFFERED}"),
        (f"{JSON};sv=v2", True, f"only the following media types are accepted: {_OFFERED}"),
    ],
)
def test_what_can_not_be_produced_is_told(accept: str, streams: bool, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        negotiate(accept, streams=streams)
    assert caught.value.message == message
