"""Both connections of a request whose client and whose backend have left HTTP behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keelson.component_base.wires import Wire
from keelson.kube_apiserver.serving.messages import Request

if TYPE_CHECKING:
    from .backends import Backend


@contextmanager
def taken(request: Request, backend: Backend) -> Iterator[tuple[Wire, Wire]]:
    """The client's and the backend's connection without their HTTP, both ended with the context.

    That a connection is lost ends the context too, and nobody is left to be told of it.
    """
    client = Wire()
    try:
        early = request.take_over(client.adopt)
    except BaseException:
        backend.close()
        raise
    client.data_received(early)
    far = backend.upgraded()
    try:
        yield client, far
    except ConnectionError:
        return
    finally:
        client.abort()
        far.abort()
