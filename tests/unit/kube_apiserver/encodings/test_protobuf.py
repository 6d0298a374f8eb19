"""Protobuf envelopes: what Go writes becomes what JSON would have said, and broken ones are refused."""

from __future__ import annotations

import pytest

from keelson.api.errors import StatusError
from keelson.kube_apiserver.encodings import protobuf


def field(number: int, value: bytes | int | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return protobuf.MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def test_zero_of_no_pointer_is_absence_and_of_a_pointer_a_value() -> None:
    metadata = field(1, "web") + field(3, "") + field(8, field(1, 0)) + field(11, field(1, "k") + field(2, "v"))
    spec = field(1, 0) + field(5, 0) + field(7, 0) + field(9, 600)
    found = protobuf.decode(envelope("apps/v1", "Deployment", field(1, metadata) + field(2, spec)))
    assert found == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"k": "v"}},
        "spec": {"replicas": 0, "progressDeadlineSeconds": 600},
    }


def test_inlined_structs_times_quantities_and_bytes() -> None:
    secret = field(1, field(1, "s") + field(9, field(1, 1_700_000_000))) + field(
        2, field(1, "k") + field(2, b"\x00\xff")
    )
    found = protobuf.decode(envelope("v1", "Secret", secret))
    assert found["data"] == {"k": "AP8="}
    assert found["metadata"]["deletionTimestamp"] == "2023-11-14T22:13:20Z"
    volume = field(1, "v") + field(2, field(2, b""))
    limits = field(1, field(1, "cpu") + field(2, field(1, "500m")))
    probe = field(1, field(2, field(1, "/") + field(2, field(1, 0) + field(2, 80))))
    container = field(1, "c") + field(8, limits) + field(10, probe)
    pod = protobuf.decode(envelope("v1", "Pod", field(2, field(1, volume) + field(2, container))))
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}}
    assert pod["spec"]["containers"][0]["livenessProbe"]["httpGet"] == {"path": "/", "port": 80}


def test_what_go_never_leaves_out_is_empty_or_null() -> None:
    # A Service as Go writes it: status is a struct, no pointer.
    service = protobuf.decode(envelope("v1", "Service", field(1, field(1, "s")) + field(3, field(1, b""))))
    assert service["status"] == {"loadBalancer": {}}
    # A slice that is not left out where empty is null where nil, and so is the zero of a time.
    assert protobuf.decode(envelope("rbac.authorization.k8s.io/v1", "ClusterRole", b""))["rules"] is None
    event = protobuf.decode(envelope("v1", "Event", field(6, b"") + field(10, b"")))
    assert event["firstTimestamp"] is None
    assert event["eventTime"] is None


def test_negative_numbers_and_unknown_fields() -> None:
    options = field(1, -1) + field(999, "later")
    found = protobuf.decode(envelope("v1", "DeleteOptions", options))
    assert found["gracePeriodSeconds"] == -1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        protobuf.MAGIC,
        protobuf.MAGIC + b"\xff" * 20,
        envelope("v1", "NoSuchKind", b""),
        envelope("v1", "Pod", b"\x0a\xff\x01"),
        envelope("v1", "Pod", field(1, field(1, b"\xff"))),
        envelope("v1", "Pod", field(1, 5)),
        envelope("v1", "ConfigMap", b"\x0b"),
    ],
)
def test_broken_bodies_are_bad_requests(body: bytes) -> None:
    with pytest.raises(StatusError) as caught:
        protobuf.decode(body)
    assert caught.value.code == 400
