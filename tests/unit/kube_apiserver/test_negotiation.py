"""Which form an Accept header gets."""

from __future__ import annotations

import pytest

from keelson.api.errors import StatusError
from keelson.kube_apiserver.serving.negotiation import JSON, OBJECT, PARTIAL, PROTOBUF, TABLE, YAML, negotiate

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
        (f"{PROTOBUF};as=PartialObjectMetadataList;{META},{JSON};as=PartialObjectMetadataList;{META}", JSON, PARTIAL),
    ],
)
def test_forms(accept: str, media_type: str, as_kind: str) -> None:
    assert negotiate(accept) == (media_type, as_kind)


def test_custom_objects_have_no_protobuf_but_their_metadata_has() -> None:
    assert negotiate(f"{PROTOBUF},application/yaml", custom=True).media_type == YAML
    assert negotiate(f"{PROTOBUF};as=PartialObjectMetadata;{META}", custom=True) == (PROTOBUF, PARTIAL)
    with pytest.raises(StatusError) as caught:
        negotiate(PROTOBUF, custom=True)
    assert caught.value.code == 406


@pytest.mark.parametrize(
    ("watch", "offered"),
    [
        (False, "application/json, application/yaml, application/vnd.kubernetes.protobuf"),
        (True, "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"),
    ],
)
def test_what_can_not_be_produced_is_told(watch: bool, offered: str) -> None:
    with pytest.raises(StatusError) as caught:
        negotiate("text/html", watch=watch)
    assert caught.value.message == f"only the following media types are accepted: {offered}"
