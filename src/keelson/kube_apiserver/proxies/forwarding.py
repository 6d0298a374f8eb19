"""One request passed on over one connection, its answer streamed back as it comes, or its upgrade carried through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from keelson.api import errors
from keelson.component_base.wires import join
from keelson.kube_apiserver.serving.messages import Request, Response
from keelson.kube_apiserver.serving.streams import Stream

from . import headers, pages
from .backends import Answer, Backend, BackendError
from .upgrades import taken

_BODILESS = (204, 304)
_REDIRECT_REFUSED = b"the backend attempted to redirect this request, which is not permitted"


async def forward(
    backend: Backend,
    request: Request,
    path: str,
    sent: Sequence[tuple[str, str]],
    *,
    relocate: Callable[[str], str] | None,
    unreachable: str,
    noted: Callable[[int], None] | None = None,
) -> Response | None:
    """Pass the request on as `path` (with its query) under the headers `sent`; None once the answer was streamed.

    `relocate` makes the Location of an answer one that leads through the proxy; None refuses redirects, because a
    client would follow them with its own credentials (CVE-2022-3172). Raises StatusError 503, whose message begins
    with `unreachable`, where the other end gives no answer; `noted` is told the status of the answer that it gives.
    """
    try:
        length = request.headers.get("content-length", "")
        answer = await backend.send(
            request.method,
            path,
            sent,
            request.incoming if request.incoming is not None else request.body,
            length=int(length) if length.isdigit() else None,
        )
    except BackendError as error:
        raise errors.unavailable(f"{unreachable}: {error}") from error
    if noted is not None:
        noted(answer.status)
    if answer.status == 101:
        if not headers.is_upgrade(request.headers):
            raise errors.unavailable("the proxied server switches protocols though nobody asked for it")
        with taken(request, backend) as (client, far):
            await client.write(headers.switching(answer.headers))
            await join(client, far)
        return None
    if relocate is None and 300 <= answer.status <= 399 and answer.header("location"):
        return Response(502, _REDIRECT_REFUSED, "text/plain; charset=utf-8")
    await _answered(backend, request, answer, relocate)
    return None


async def _answered(backend: Backend, request: Request, answer: Answer, relocate: Callable[[str], str] | None) -> None:
    """Stream the answer to the client as it comes."""
    passed = [
        (name, relocate(value) if relocate is not None and name.lower() == "location" else value)
        for name, value in headers.of_answer(answer.headers)
    ]
    bodiless = request.method == "HEAD" or answer.status in _BODILESS
    if relocate is not None and not bodiless and _is_page(answer):
        await _page(backend, request, answer, passed, relocate)
        return
    chunked = not bodiless and not answer.header("content-length")
    await _streamed(request.stream(answer.status, passed, chunked=chunked), backend)


async def _streamed(stream: Stream, backend: Backend) -> None:
    try:
        async for chunk in backend.chunks():
            stream.send(chunk)
            await stream.drain()
    except BackendError:
        stream.abort()
    except asyncio.CancelledError:
        # The time for the request is up: its client must not take the beginning for the whole.
        stream.abort()
        raise
    else:
        stream.finish()


def _is_page(answer: Answer) -> bool:
    kind = answer.header("content-type").partition(";")[0].strip().lower()
    # Links in what is compressed stay as they are: nobody's page is worth a bomb.
    return kind == "text/html" and not answer.header("content-encoding")


async def _page(
    backend: Backend,
    request: Request,
    answer: Answer,
    passed: Sequence[tuple[str, str]],
    relocate: Callable[[str], str],
) -> None:
    """Answer with a page whose links lead through the proxy; one that is too long goes on as it came."""
    kept = [(name, value) for name, value in passed if name.lower() != "content-length"]
    stream = request.stream(answer.status, kept, chunked=True)
    page = bytearray()
    try:
        async for chunk in backend.chunks():
            page += chunk
            if len(page) > pages.MOST_BYTES:
                stream.send(bytes(page))
                await stream.drain()
                break
        else:
            # Whatever the encoding is, the tags are ASCII and every other byte comes out as it went in.
            text = pages.rewritten(page.decode("latin-1"), relocate)
            stream.send(text.encode("latin-1"))
            stream.finish()
            return
    except BackendError:
        stream.abort()
        return
    except asyncio.CancelledError:
        stream.abort()
        raise
    await _streamed(stream, backend)
