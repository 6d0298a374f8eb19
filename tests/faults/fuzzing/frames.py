"""Bytes that look like HTTP from afar."""

from __future__ import annotations

from hypothesis import strategies as some

from tests.faults.fuzzing.requests import corrupted

_LINES = some.sampled_from(
    [
        b"Host: x",
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 1, 2",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity, chunked",
        b"Connection: close",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Expect: x",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"Host: x, y",
        b"TE: trailers",
        b"Trailer: X-Remote-User",
        b": x",
        b"A",
        b"A : b",
        b" folded",
        b"\0: \0",
        b"Authorization: Bearer x",
        b"Accept: */*",
        b"Authorization: Basic x",
        b"Content-Type: application/json",
        b"X-Remote-User: admin",
        b"Impersonate-User: a",
        b"A: " + b"b" * 9000,
        b"Accept: application/json;as=Table;g=meta.k8s.io;v=v1",
        b"Accept: application/vnd.kubernetes.protobuf",
        b"Accept: \xff;q=x",
    ]
)
_TARGETS = some.sampled_from(
    [b"/", b"*", b"/api/v1/pods", b"http://a/api", b"/%zz", b"/\xff", b"/" + b"a" * 9000, b"a", b"//", b"/?%"]
)

_PARTS = some.sampled_from(
    [
        b"2\r\n{}\r\n",
        b"5\r\nhello\r\n",
        b"2;a=b\r\n{}\r\n",
        b"0\r\n\r\n",
        b"0\r\nX-Remote-User: admin\r\n\r\n",
        b"0\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"-1\r\n",
        b"0x2\r\n{}\r\n",
        b"2\n{}\n",
        b"\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
)


@some.composite
def raw_requests(draw: some.DrawFn) -> bytes:
    """Bytes that look like HTTP from afar."""
    method = draw(some.sampled_from([b"GET", b"POST", b"PUT", b"PRI", b"G\0T", b"", b"CONNECT", b"get"]))
    version = draw(some.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"", b"XTTP/1.1"]))
    lines = [method + b" " + draw(_TARGETS) + b" " + version, *draw(some.lists(_LINES, max_size=5))]
    ending = draw(some.sampled_from([b"\r\n", b"\n", b"\r\n"]))
    parts = draw(some.lists(_PARTS, max_size=5))
    body = b"".join(parts) if parts else draw(some.sampled_from([b"", b"{}", b"x" * 100]))
    data = ending.join(lines) + ending * 2 + body
    return draw(corrupted(data if draw(some.booleans()) else data * draw(some.integers(1, 3))))
