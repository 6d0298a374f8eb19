"""What webhooks answer that mean no good, or are broken: to reviews, to conversions, to anything."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hypothesis import strategies as some

from tests.contracts.kube_apiserver.api_servers import Authority
from tests.faults.fuzzing.patches import operations
from tests.faults.fuzzing.requests import VALUES, corrupted, dumped, spoiled

_PATIENCE_SECONDS = 5.0
_UID = "@uid"
_OBJECTS = "@objects"
_MOST = 1 << 20


class Liar:
    """A TLS server that gives whoever asks whatever `reply` is just now, and hangs up. Ends with its context.

    Where the reply has `@uid` in it, the uid of the review that was sent stands there instead, and for `"@objects"` the
    objects that are to be converted, in the version that is wanted.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority("liars")
        certificate, key = self.authority.issue("liar", names=("localhost",), addresses=["127.0.0.1"])
        pair = folder / "liar.pem"
        pair.write_bytes(certificate + key)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._ending = False
        self.reply = b""
        self.asked = 0

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return int(self._listening.getsockname()[1])

    def config(self, path: str) -> dict[str, Any]:
        """The clientConfig of a webhook."""
        bundle = base64.b64encode(self.authority.pem).decode()
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": bundle}

    def _serve(self) -> None:
        while True:
            plain, _ = self._listening.accept()
            if self._ending:
                plain.close()
                return
            plain.settimeout(_PATIENCE_SECONDS)
            # Whoever does not like what it hears hangs up.
            with plain, contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as channel:
                said = self._said(_request(channel))
                self.asked += 1
                channel.sendall(said)

    def _said(self, request: bytes) -> bytes:
        reply = self.reply
        try:
            asked = json.loads(request.partition(b"\r\n\r\n")[2])["request"]
        except (ValueError, KeyError, TypeError):
            return reply
        head, _, body = reply.partition(b"\r\n\r\n")
        body = body.replace(_UID.encode(), asked["uid"].encode())
        if "objects" in asked:
            found = [{**each, "apiVersion": asked["desiredAPIVersion"]} for each in asked["objects"]]
            body = body.replace(json.dumps(_OBJECTS).encode(), json.dumps(found).encode())
        return re.sub(rb"Content-Length: @", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ending = True
        with socket.create_connection(("127.0.0.1", self.port)):
            self._thread.join()
        self._listening.close()


def _request(channel: ssl.SSLSocket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += (part := channel.recv(65536))
        if not part:
            return data
    length = re.search(rb"content-length: *(\d+)", data.partition(b"\r\n\r\n")[0], re.IGNORECASE)
    while length and len(data.partition(b"\r\n\r\n")[2]) < int(length[1]):
        data += (part := channel.recv(65536))
        if not part:
            break
    return data


_STATUSES = some.sampled_from(
    [b"200 OK", b"200 OK", b"200 OK", b"204 No Content", b"301 Moved", b"404 No", b"500 x", b"999 x", b"x"]
)
_LINES = some.sampled_from(
    [
        b"Content-Encoding: gzip",
        b"Content-Encoding: br",
        b"Transfer-Encoding: chunked",
        b"Content-Length: 5",
        b"Content-Length: 99999999999",
        b"Location: https://127.0.0.1:1/",
        b"Connection: Upgrade\r\nUpgrade: websocket",
        b"Content-Type: text/html",
        b"Set-Cookie: a=b",
        b'Warning: 299 - "\xff"',
        b"Audit-Id: \xff",
        b"A: " + b"b" * 20_000,
        b": x",
    ]
)


def http(body: bytes, status: bytes = b"200 OK", lines: list[bytes] | None = None) -> bytes:
    """An answer; where no line tells its length, that is told as it is."""
    told = lines or []
    if not any(line.startswith((b"Content-Length", b"Transfer")) for line in told):
        told = [*told, b"Content-Length: @"]
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Type: application/json", *told]) + b"\r\n\r\n" + body


@some.composite
def answers(draw: some.DrawFn, sound: some.SearchStrategy[bytes]) -> bytes:
    """HTTP around a body that is nearly right, sometimes spoiled itself."""
    body = draw(sound)
    if draw(some.integers(0, 5)) == 0:
        body = draw(corrupted(body))
    if draw(some.integers(0, 9)) == 0:
        body = gzip.compress(body, mtime=0)
    if draw(some.integers(0, 4)):
        return http(body)
    reply = http(body, draw(_STATUSES), draw(some.lists(_LINES, max_size=2)))
    return draw(corrupted(reply)) if draw(some.booleans()) else reply


@some.composite
def admission_reviews(draw: some.DrawFn) -> bytes:
    """Reviews that allow and change, spoiled; or their patches are."""
    patch = draw(some.one_of(operations(), VALUES))
    status = draw(some.one_of(VALUES, some.just({"message": "no", "code": 403, "reason": "Forbidden"})))
    response = {
        "uid": _UID,
        "allowed": draw(some.sampled_from([True, True, False])),
        "patchType": "JSONPatch",
        "patch": base64.b64encode(dumped(patch)).decode(),
        "status": status,
        "warnings": ["a" * 500, "\n", "é"],
        "auditAnnotations": {"a/b": "c", "": "x"},
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    return dumped(review if draw(some.booleans()) else draw(spoiled(review)))


@some.composite
def conversion_reviews(draw: some.DrawFn, stored: dict[str, Any]) -> bytes:
    """Reviews with the objects as they should be, or others."""
    objects: Any = draw(some.one_of(some.just(_OBJECTS), some.lists(spoiled(stored), max_size=2), VALUES))
    response = {"uid": _UID, "convertedObjects": objects, "result": {"status": "Success"}}
    review = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}
    return dumped(review if draw(some.booleans()) else draw(spoiled(review)))


def bomb() -> bytes:
    """A small answer that is a gigabyte once it is unpacked."""
    packed = gzip.compress(b" " * _MOST, mtime=0)
    return http(packed * 1024, lines=[b"Content-Encoding: gzip"])
