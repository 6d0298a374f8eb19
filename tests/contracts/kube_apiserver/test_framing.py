"""Where one HTTP/1.1 request ends and the next begins (RFC 9112): what two readers could read in two ways is refused.

A request that a proxy in front takes for one and the server for two carries the second past whatever the proxy checks.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Iterator

import httptools
import pytest

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing.targets import Target, said

pytestmark = pytest.mark.lab

_SECOND = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_MIB = 1 << 20


class Answers:
    """The answers in a stream of bytes, each to its end."""

    def __init__(self, data: bytes) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.closes = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.bodies.append(b"")

    def on_body(self, data: bytes) -> None:
        self.bodies[-1] += data

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())

    def on_message_complete(self) -> None:
        self.closes = not self._parser.should_keep_alive()


@pytest.fixture(scope="module")
def target(cluster: Cluster) -> Iterator[Target]:
    found = Target(cluster)
    yield found
    found.close()


def answers(target: Target, data: bytes) -> Answers:
    """What is answered to these bytes, and to nothing more."""
    with target.connected() as channel:
        return Answers(said(channel, data, 1.0))


_POST = b"POST /livez HTTP/1.1\r\nHost: x\r\n"
_CHUNKS = b"Transfer-Encoding: chunked\r\n"
_CHUNKED = _POST + _CHUNKS + b"\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_POST + b"Content-Length: 6\r\n" + _CHUNKS + b"\r\n0\r\n\r\nG", id="length and chunks"),
        pytest.param(_POST + _CHUNKS + b"Content-Length: 6\r\n\r\n0\r\n\r\nG", id="chunks and length"),
        pytest.param(_POST + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n", id="two lengths"),
        pytest.param(_POST + b"Content-Length: 0, 5\r\n\r\n", id="a list of lengths"),
        pytest.param(_POST + b"Content-Length: +5\r\n\r\n", id="a length with a sign"),
        pytest.param(_POST + b"Content-Length: 0x5\r\n\r\n", id="a length in another base"),
        pytest.param(_POST + b"Content-Length: 5 5\r\n\r\n", id="a length with a space"),
        pytest.param(_POST + b"Content-Length: 99999999999999999999\r\n\r\n", id="a length beyond 64 bits"),
        pytest.param(_POST + b"Content-Length : 5\r\n\r\n", id="a space before the colon"),
        pytest.param(_POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="an unknown coding"),
        pytest.param(_POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", id="chunks not last"),
        pytest.param(_POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", id="a control character in the coding"),
        pytest.param(_CHUNKED + b"z\r\n\r\n0\r\n\r\n", id="a chunk's size that is none"),
        pytest.param(_CHUNKED + b"-1\r\n\r\n0\r\n\r\n", id="a negative chunk"),
        pytest.param(_CHUNKED + b"fffffffffffffffff\r\n{}\r\n", id="a chunk beyond 64 bits"),
        pytest.param(_CHUNKED + b"2\n{}\n0\n\n", id="chunks with bare line feeds"),
        pytest.param(_CHUNKED + b"2\r\n{}0\r\n\r\n", id="a chunk that does not end where it says"),
        pytest.param(b"GET /livez HTTP/1.1\nHost: x\n\n", id="bare line feeds"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", id="a folded line"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n", id="a null"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", id="a field without a name"),
        pytest.param(b"GET /livez HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", id="two hosts"),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(target: Target, data: bytes) -> None:
    found = answers(target, data + _SECOND)
    assert found.statuses == [400]
    assert found.closes


def test_what_can_not_is_served_request_by_request(target: Target) -> None:
    bodies = [b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nA: b\r\n\r\n"]
    for body in bodies:
        assert answers(target, _POST + body + _SECOND).statuses == [200, 200]
    assert answers(target, b"GET /livez HTTP/1.0\r\n\r\n" + _SECOND).statuses == [200]


def test_an_answer_to_head_has_no_body_not_even_of_a_watch(target: Target) -> None:
    with target.connected() as channel:
        told = said(channel, b"HEAD /api/v1/pods?watch=1&timeoutSeconds=1 HTTP/1.1\r\nHost: x\r\n\r\n", 2.0)
    assert told.endswith(b"\r\n\r\n")
    assert told.count(b"\r\n\r\n") == 1


def test_trailers_are_no_headers(target: Target) -> None:
    """Whoever filters headers in front of the server would not have seen these (RFC 9110, 6.5.1)."""
    data = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = data % _REVIEW.encode() + b"2\r\n{}\r\n0\r\nImpersonate-User: mallory\r\nX-Remote-User: mallory\r\n\r\n"
    found = answers(target, data)
    assert found.statuses == [201]
    assert json.loads(found.bodies[0])["status"]["userInfo"]["username"] == "fuzz"


def test_an_expectation_that_nobody_knows_is_not_met(target: Target) -> None:
    assert answers(target, _POST + b"Expect: miracles\r\nContent-Length: 0\r\n\r\n").statuses == [417]
    # Who does not wait for it need not be told to go on (RFC 9110, 10.1.1).
    assert answers(target, _POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}").statuses[-1] == 200


@pytest.mark.parametrize(
    ("data", "more"),
    [
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"A: %b\r\n" % (b"b" * 50_000), id="headers"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nA: ", b"b" * 50_000, id="one header"),
        pytest.param(b"GET /", b"b" * 50_000, id="a target"),
        pytest.param(_CHUNKED + b"0\r\n", b"A: %b\r\n" % (b"b" * 50_000), id="trailers"),
        pytest.param(_CHUNKED + b"0\r\nA: ", b"b" * 50_000, id="one trailer"),
        pytest.param(_CHUNKED + b"1", b";a=%b" % (b"b" * 50_000), id="extensions of a chunk"),
    ],
)  # fmt: skip
def test_floods_end_before_they_fill_memory(target: Target, data: bytes, more: bytes) -> None:
    before, deadline = target.memory(), time.monotonic() + 5
    with target.frugal(), target.connected() as channel, contextlib.suppress(ConnectionError, ssl.SSLError):
        channel.sendall(data)
        while time.monotonic() < deadline:
            channel.sendall(more)
    assert time.monotonic() < deadline
    assert target.memory() < before + 8


def test_those_who_never_finish_a_request_harm_nobody(target: Target) -> None:
    """Half a request each (slow loris): others are answered, and what is kept for each is little."""
    descriptors, memory = target.descriptors(), target.memory()
    with contextlib.ExitStack() as stack:
        for number in range(200):
            channel = stack.enter_context(target.connected())
            channel.sendall((_POST, _CHUNKED, _POST + b"Content-Length: 100\r\n\r\n{")[number % 3])
        assert target.raw(_SECOND) == [200]
        assert target.memory() < memory + 200 * 0.1
    waits.blocked_until(lambda: target.descriptors() <= descriptors + 1)
