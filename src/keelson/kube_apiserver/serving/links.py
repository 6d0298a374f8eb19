"""What the network to a client is good for, as the kernel knows it (tcp(7), TCP_INFO, TIOCOUTQ).

Compressing pays where the network is the slow part. On one machine or in one rack both ends only wait for gzip: a
client-go that lists 10,000 objects spends a quarter of its time on inflating them.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios

# Where `struct tcp_info` of linux/tcp.h has the bytes that were acknowledged, and the shortest round trip in
# microseconds (the mean one counts the other end's delays too).
_ACKNOWLEDGED = (struct.Struct("=Q"), 120)
_ROUND_TRIP = (struct.Struct("=I"), 148)
_COUNT = struct.Struct("=i")
# Below this both ends are in one data centre: a round trip there takes 100 to 500 microseconds.
_NEAR_MICROSECONDS = 1000
# Who has not taken an answer this long after its last byte was written is behind a slow line, though its first station,
# as a load balancer, is near; a gigabit carries thirty megabytes in that time.
_LOOK_SECONDS = 0.25
_SLOW_SECONDS = 600.0
_MOST_SLOW = 1024


class Links:
    """Which clients take large answers faster than they could inflate them; shared by the connections of a listener."""

    def __init__(self) -> None:
        # By address, until when on the loop's clock.
        self._slow: dict[str, float] = {}

    def is_quick(self, address: str, transport: asyncio.Transport) -> bool:
        """Whether the other end is near and its address was not found to be behind a slow line lately."""
        until = self._slow.get(address)
        if until is not None:
            if asyncio.get_running_loop().time() < until:
                return False
            del self._slow[address]
        return 0 < _told(transport, *_ROUND_TRIP) < _NEAR_MICROSECONDS

    def look(self, address: str, transport: asyncio.Transport) -> None:
        """Learn, a little later, whether what was written to the transport has been taken."""
        if not transport.is_closing():
            end = _told(transport, *_ACKNOWLEDGED) + _waiting(transport)
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._learn, address, transport, end)

    def _learn(self, address: str, transport: asyncio.Transport, end: int) -> None:
        if transport.is_closing() or _told(transport, *_ACKNOWLEDGED) >= end:
            return
        if len(self._slow) >= _MOST_SLOW:
            # The one that was learned first.
            del self._slow[next(iter(self._slow))]
        self._slow[address] = asyncio.get_running_loop().time() + _SLOW_SECONDS


def _told(transport: asyncio.Transport, form: struct.Struct, offset: int) -> int:
    """A number of TCP_INFO; 0 where there is none, as for what is no TCP or no connection any more."""
    try:
        told = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, offset + form.size)
        return int(form.unpack_from(told, offset)[0])
    except (OSError, struct.error):
        return 0


def _waiting(transport: asyncio.Transport) -> int:
    """Bytes written to the transport that the other end has not acknowledged."""
    told = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
    return int(_COUNT.unpack(told)[0]) + transport.get_write_buffer_size()
