"""Between what clients of today speak (WebSockets) and what kubelets and runtimes speak (SPDY/3.1).

Remote commands: in `v5.channel.k8s.io` the first byte of a message is its channel, and channel 255 ends another one
(KEP-4006); every channel is a SPDY stream on the other side, where a stream ends by a flag. Port-forward: the bytes of
a SPDY connection are the messages of a WebSocket (`SPDY/3.1+portforward.k8s.io`, the same KEP).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from keelson.component_base.wires import Wire, settle

from . import spdy, websockets

REMOTE_COMMAND_V5 = "v5.channel.k8s.io"
REMOTE_COMMAND_V4 = "v4.channel.k8s.io"
TUNNEL_PREFIX = "SPDY/3.1+"

_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHANNELS = {"stdin": _STDIN, "stdout": _STDOUT, "stderr": _STDERR, "error": _ERROR, "resize": _RESIZE}
_FROM_SERVER = (_STDOUT, _STDERR, _ERROR)
_LINGER_SECONDS = 5.0


class _Socket:
    """The client's WebSocket over a wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._decoder = websockets.Decoder()
        self._closing = False

    async def messages(self) -> list[bytes]:
        """The data messages that came; none where the client said its last. Raises WebSocketError."""
        while data := await self.wire.read():
            found = []
            for message in self._decoder.feed(data):
                if message.opcode == websockets.PING:
                    await self.wire.write(websockets.frame(websockets.PONG, message.payload))
                elif message.opcode == websockets.CLOSE:
                    if not self._closing:
                        self._closing = True
                        await self.wire.write(websockets.frame(websockets.CLOSE, message.payload[:2]))
                    return []
                elif message.opcode in (websockets.BINARY, websockets.TEXT):
                    found.append(message.payload)
            if found:
                return found
        return []

    async def send(self, payload: bytes) -> None:
        await self.wire.write(websockets.frame(websockets.BINARY, payload))

    async def finish(self, code: int = websockets.NORMAL, reason: str = "") -> None:
        """Say that there is no more, and let the client take what is under way before the connection ends."""
        if self._closing:
            return
        self._closing = True
        try:
            await self.wire.write(websockets.close(code, reason))
            async with asyncio.timeout(_LINGER_SECONDS):
                # A connection closed with unread input is reset, and the client would lose its last output.
                while await self.wire.read():
                    pass
        except (ConnectionError, TimeoutError):
            return


class RemoteCommand:
    """One exec or attach: a client's channels and a backend's streams."""

    def __init__(self, client: Wire, backend: Wire, streams: Sequence[str]) -> None:
        self._socket = _Socket(client)
        self._backend = backend
        self._session = spdy.Session()
        self._streams: dict[int, int] = {}
        self._channels: dict[int, int] = {}
        self._ended: set[int] = set()
        self._reported = False
        self._wanted = streams

    async def run(self) -> None:
        """Translate until the command or its client ends."""
        await self._open()
        forth = asyncio.create_task(self._to_backend())
        back = asyncio.create_task(self._to_client())
        await settle(self._socket.wire, self._backend, forth, back)

    async def _open(self) -> None:
        for kind in self._wanted:
            stream, data = self._session.open({"streamtype": kind})
            self._streams[_CHANNELS[kind]] = stream
            self._channels[stream] = _CHANNELS[kind]
            await self._backend.write(data)

    async def _to_backend(self) -> None:
        try:
            while messages := await self._socket.messages():
                for message in messages:
                    await self._forward(message)
        except websockets.WebSocketError as error:
            await self._socket.finish(error.code, str(error))

    async def _forward(self, message: bytes) -> None:
        if not message:
            return
        channel, payload = message[0], message[1:]
        last = channel == _CLOSE
        if last:
            channel = payload[0] if payload else _CLOSE
            payload = b""
        stream = self._streams.get(channel)
        if stream is None or channel in _FROM_SERVER or stream in self._ended:
            return
        if payload or last:
            await self._backend.write(self._session.data(stream, payload, last=last))
        if last:
            self._ended.add(stream)

    async def _to_client(self) -> None:
        """Carry output until every stream that the backend writes has ended."""
        open_streams = {self._streams[channel] for channel in _FROM_SERVER if channel in self._streams}
        why = "the connection to the kubelet ended before the command did"
        try:
            while open_streams and (data := await self._backend.read()):
                for event in self._session.feed(data):
                    await self._deliver(event, open_streams)
        except spdy.SpdyError as error:
            why = f"the kubelet breaks the protocol: {error}"
        if not self._reported:
            status = {"metadata": {}, "status": "Failure", "message": why, "reason": "InternalError", "code": 500}
            await self._socket.send(bytes((_ERROR,)) + orjson.dumps(status))
        await self._socket.finish()

    async def _deliver(self, event: spdy.Event, open_streams: set[int]) -> None:
        match event:
            case spdy.Data(stream, payload, last):
                channel = self._channels.get(stream)
                if channel is not None and payload:
                    self._reported = self._reported or channel == _ERROR
                    await self._socket.send(bytes((channel,)) + payload)
                if last:
                    open_streams.discard(stream)
            case spdy.Reset(stream, _):
                open_streams.discard(stream)
            case spdy.Ping(answer):
                await self._backend.write(answer)


async def tunnel(client: Wire, backend: Wire) -> None:
    """Carry a SPDY connection in a client's WebSocket until either ends."""
    socket = _Socket(client)

    async def forth() -> None:
        try:
            while messages := await socket.messages():
                await backend.write(b"".join(messages))
        except websockets.WebSocketError as error:
            await socket.finish(error.code, str(error))

    async def back() -> None:
        while data := await backend.read():
            await socket.send(data)
        await socket.finish()

    await settle(client, backend, asyncio.create_task(forth()), asyncio.create_task(back()))
