from __future__ import annotations

import time

import pytest

from keelson.kube_apiserver.proxies import websockets
from keelson.kube_apiserver.proxies.websockets import BINARY, CLOSE, PING, TEXT, Message


def sent(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    if 126 <= size < 1 << 16:
        length = bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes(((0x80 if final else 0) | opcode,)) + length + mask + masked


def test_the_handshake_of_the_rfc() -> None:
    headers = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13"}
    assert websockets.accept(headers) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for wrong in (
        {"sec-websocket-version": "8"},
        {"sec-websocket-key": "c2hvcnQ="},
        {"sec-websocket-key": "%"},
        {"sec-websocket-key": "é"},
    ):
        with pytest.raises(websockets.WebSocketError):
            websockets.accept({**headers, **wrong})


def test_the_frames_of_the_rfc() -> None:
    hello = bytes.fromhex("818537fa213d7f9f4d5158")
    assert websockets.Decoder().feed(hello) == [Message(TEXT, b"Hello")]
    assert websockets.frame(TEXT, b"Hello") == b"\x81\x05Hello"
    assert websockets.frame(BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert websockets.frame(BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


@pytest.mark.parametrize("size", [1, 5, 100_000])
def test_messages_come_whole_from_any_pieces(size: int) -> None:
    payloads = [b"", b"a", bytes(range(256)) * 2, b"x" * 70_000]
    said = sent(BINARY, payloads[0]) + sent(BINARY, payloads[1])
    said += sent(BINARY, payloads[2][:100], final=False) + sent(PING, b"still there?") + sent(0, payloads[2][100:])
    said += sent(BINARY, payloads[3]) + sent(CLOSE, b"\x03\xe8")
    decoder = websockets.Decoder()
    found = [message for at in range(0, len(said), size) for message in decoder.feed(said[at : at + size])]
    assert [m.payload for m in found if m.opcode == BINARY] == payloads
    assert [m.opcode for m in found] == [BINARY, BINARY, PING, BINARY, BINARY, CLOSE]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x82\x01a", 1002),
        (b"\xc2\x80\0\0\0\0", 1002),
        (sent(0, b"a"), 1002),
        (sent(BINARY, b"a", final=False) + sent(BINARY, b"b"), 1002),
        (sent(PING, b"a", final=False), 1002),
        (sent(PING, bytes(126)), 1002),
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4), 1009),
    ],
    ids=["unmasked", "reserved", "continued", "interleaved", "split-control", "long-control", "huge"],
)
def test_what_breaks_the_protocol_is_refused(said: bytes, code: int) -> None:
    with pytest.raises(websockets.WebSocketError) as refused:
        websockets.Decoder().feed(said)
    assert refused.value.code == code


def test_what_a_websocket_is() -> None:
    assert websockets.is_websocket({"connection": "keep-alive, Upgrade", "upgrade": "WebSocket"})
    assert not websockets.is_websocket({"connection": "keep-alive", "upgrade": "websocket"})
    assert websockets.protocols({"sec-websocket-protocol": "a, b ,"}) == ["a", "b"]


def test_a_message_of_many_fragments_costs_what_they_weigh() -> None:
    decoder = websockets.Decoder()
    mask = bytes(4)
    fragments = bytes((TEXT, 0x81)) + mask + b"a" + bytes((0, 0x80)) + mask + (bytes((0, 0x81)) + mask + b"a") * 40_000
    began = time.process_time()
    assert decoder.feed(fragments) == []
    found = decoder.feed(bytes((0x80, 0x81)) + mask + b"z")
    # What came before must not be looked at with each: that took a minute and stalled everybody.
    assert time.process_time() - began < 2
    assert found == [Message(TEXT, b"a" * 40_001 + b"z")]
