"""The life of a daemon's process: event loop, signals, readiness towards systemd, exit status.

systemd learns of readiness by sd_notify(3) where NOTIFY_SOCKET is set (Type=notify); the protocol is a datagram.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

import uvloop

log = logging.getLogger(__name__)

# Longer than the pause between two requests for more, so that the service manager never gives up on one that waits.
_PATIENCE_SECONDS = 30.0


class FatalError(Exception):
    """The daemon can't go on; the message is its last line and the exit status is 1."""


def notify(state: str) -> None:
    """Tell the service manager (`READY=1`, `STOPPING=1`, `STATUS=…`); nothing where there is none."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall(state.encode())


def ready() -> None:
    """Say that the daemon serves. Objects alive by now live long, so the collector need not look at them again."""
    gc.collect()
    gc.freeze()
    notify("READY=1")
    log.info("ready")


async def ready_after(event: asyncio.Event) -> None:
    """Say that the daemon serves once `event` is set, and until then that waiting for it is no failure.

    A job for `until_stopped`: it never ends, since a job that ends fails the daemon.
    """
    while not event.is_set():
        notify(f"EXTEND_TIMEOUT_USEC={_PATIENCE_SECONDS * 1e6:.0f}")
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS / 3):
                await event.wait()
        except TimeoutError:
            continue
    ready()
    await asyncio.Event().wait()


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main(stop)` to its end and exit with its status.

    `stop` is set by SIGTERM or SIGINT; `main` then ends in order. A second signal ends the process at once.
    """
    try:
        uvloop.run(_supervise(main))
    except FatalError as error:
        log.error("%s", error)
        sys.exit(1)


async def _supervise(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("received %s", number.name)
        notify("STOPPING=1")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await main(stop)


async def until_stopped(stop: asyncio.Event, *jobs: Awaitable[None]) -> None:
    """Run the jobs until `stop` is set, then cancel them. A job that ends or fails by itself fails the daemon."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    waiter = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiter}:
            task.result()
            raise FatalError("a job of the daemon ended by itself")
    finally:
        for task in (waiter, *tasks):
            task.cancel()
        await asyncio.gather(waiter, *tasks, return_exceptions=True)
