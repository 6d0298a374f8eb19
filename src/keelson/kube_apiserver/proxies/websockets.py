"""WebSocket frames as a server reads and writes them, and the handshake (RFC 6455). Pure: bytes in, bytes out."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, TOO_BIG, INTERNAL = 1000, 1002, 1009, 1011
# kubectl sends 32 KiB a message; nothing sensible comes near this.
MOST_MESSAGE_BYTES = 4 * 1024 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MOST_CONTROL_BYTES = 125


class WebSocketError(Exception):
    """The client breaks the protocol; `code` is the close code that tells it so."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, or a control frame."""

    opcode: int
    payload: bytes


def is_websocket(headers: Mapping[str, str]) -> bool:
    """Whether the request asks for a WebSocket; names are in lower case."""
    connection = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    return "upgrade" in connection and headers.get("upgrade", "").strip().lower() == "websocket"


def protocols(headers: Mapping[str, str]) -> list[str]:
    """The subprotocols that the client offers, the preferred one first."""
    return [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",") if each.strip()]


def accept(headers: Mapping[str, str]) -> str:
    """The value of Sec-WebSocket-Accept (section 4.2.2). Raises WebSocketError for a handshake that is none."""
    key = headers.get("sec-websocket-key", "")
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        valid = False
    if not valid or headers.get("sec-websocket-version") != "13":
        raise WebSocketError(PROTOCOL_ERROR, "the WebSocket handshake needs a 16-byte key and version 13")
    # SHA-1 is what the protocol names; it protects nothing here.
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole unmasked frame, as servers send them."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def close(code: int, reason: str = "") -> bytes:
    """A close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode()[: _MOST_CONTROL_BYTES - 2])


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    # One operation on long integers: a loop over bytes would bound the speed of every stream.
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


class Decoder:
    """Makes messages of what a client sends."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        # Fragments of the message under way; `_opcode` is 0 exactly while there is none.
        self._message = bytearray()
        self._opcode = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises WebSocketError; the decoder is of no use afterwards."""
        self._buffer += data
        found = []
        while (parsed := self._next()) is not None:
            final, opcode, payload = parsed
            message = self._control(opcode, final, payload) if opcode & 8 else self._data(opcode, final, payload)
            if message is not None:
                found.append(message)
        return found

    def _next(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & 0x70:
            raise WebSocketError(PROTOCOL_ERROR, "reserved bits are set, but no extension was agreed on")
        if not second & 0x80:
            raise WebSocketError(PROTOCOL_ERROR, "a client's frames must be masked")
        size, at = second & 0x7F, 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            if len(buffer) < 2 + wide:
                return None
            size, at = int.from_bytes(buffer[2 : 2 + wide], "big"), 2 + wide
        if size + len(self._message) > MOST_MESSAGE_BYTES:
            raise WebSocketError(TOO_BIG, f"a message may have {MOST_MESSAGE_BYTES} bytes")
        end = at + 4 + size
        if len(buffer) < end:
            return None
        payload = _unmasked(bytes(buffer[at + 4 : end]), bytes(buffer[at : at + 4]))
        del buffer[:end]
        return bool(first & 0x80), first & 0x0F, payload

    def _control(self, opcode: int, final: bool, payload: bytes) -> Message:
        if not final or len(payload) > _MOST_CONTROL_BYTES or opcode > PONG:
            raise WebSocketError(PROTOCOL_ERROR, "malformed control frame")
        return Message(opcode, payload)

    def _data(self, opcode: int, final: bool, payload: bytes) -> Message | None:
        if opcode > BINARY or (opcode == CONTINUATION) != bool(self._opcode):
            raise WebSocketError(PROTOCOL_ERROR, "data frame out of order")
        self._opcode = self._opcode or opcode
        self._message += payload
        if not final:
            return None
        message = Message(self._opcode, bytes(self._message))
        self._message, self._opcode = bytearray(), 0
        return message
