"""The kernel's table of tracked flows, over netlink (ctnetlink): list those of UDP, delete some.

Written against linux/netfilter/nfnetlink_conntrack.h: a library for it would cost the daemon a quarter of its memory.
Calls block and belong in a thread.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator

from .decisions.service_ports import IPV4
from .decisions.stale_flows import Flow

_NETFILTER = 12
_GET, _DELETE = 0x0101, 0x0102
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_TUPLE_ORIGINAL, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")


def flows(family: str) -> list[Flow]:
    """The UDP flows of a family. OSError where the kernel refuses."""
    found: list[Flow] = []
    with _channel() as channel:
        channel.send(_message(_GET, _REQUEST | _DUMP, family, b""))
        for body in _answers(channel):
            flow = _flow(body, family)
            if flow is not None:
                found.append(flow)
    return found


def delete(doomed: Iterable[Flow], family: str) -> int:
    """Delete flows; how many there were still. OSError where the kernel refuses."""
    count = 0
    with _channel() as channel:
        for flow in doomed:
            channel.send(_message(_DELETE, _REQUEST | _ACK, family, flow.handle))
            try:
                for _ in _answers(channel):
                    continue
            except OSError as error:
                # It ended by itself since it was listed.
                if error.errno != errno.ENOENT:
                    raise
            else:
                count += 1
    return count


def _channel() -> socket.socket:
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    channel.settimeout(30)
    channel.bind((0, 0))
    return channel


def _message(kind: int, flags: int, family: str, body: bytes) -> bytes:
    number = socket.AF_INET if family == IPV4 else socket.AF_INET6
    body = struct.pack("!BBH", number, 0, 0) + body
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _answers(channel: socket.socket) -> Iterator[bytes]:
    """The bodies of the answers until the last; OSError for the error that the kernel reports."""
    while True:
        data = channel.recv(1 << 20)
        position = 0
        while position + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, position)
            body = data[position + _HEADER.size : position + length]
            position += (length + 3) & ~3
            if kind == _DONE:
                return
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", body)
                if code:
                    raise OSError(-code, os.strerror(-code))
                return
            yield body[4:]


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[position + 4 : position + length]
        position += (length + 3) & ~3
    return found


def _flow(body: bytes, family: str) -> Flow | None:
    attributes = _attributes(body)
    original, reply = attributes.get(_TUPLE_ORIGINAL), attributes.get(_TUPLE_REPLY)
    if original is None or reply is None:
        return None
    there, back = _attributes(original), _attributes(reply)
    protocol, protocol_back = _attributes(there[_TUPLE_PROTOCOL]), _attributes(back[_TUPLE_PROTOCOL])
    if protocol[_PROTOCOL_NUMBER][0] != socket.IPPROTO_UDP:
        return None
    # Sources have odd numbers 1 and 3, destinations 2 and 4, of IPv4 and IPv6.
    source, destination = (1, 2) if family == IPV4 else (3, 4)
    handle = struct.pack("=HH", 4 + len(original), _TUPLE_ORIGINAL | _NESTED) + original
    return Flow(
        destination=(_address(_attributes(there[_TUPLE_IP])[destination]), _port(protocol[_DESTINATION_PORT])),
        answers=(_address(_attributes(back[_TUPLE_IP])[source]), _port(protocol_back[_SOURCE_PORT])),
        handle=handle,
    )


def _address(data: bytes) -> str:
    return str(ipaddress.ip_address(data))


def _port(data: bytes) -> int:
    return int.from_bytes(data, "big")
