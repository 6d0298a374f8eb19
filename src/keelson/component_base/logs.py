"""Logs of the daemons: one line an entry on standard error, in klog's text layout or as JSON (KEP-1602)."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime

from .flags import Parser

_LETTERS = {logging.DEBUG: "D", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%m%d %H:%M:%S", time.gmtime(record.created))
        micros = int(record.created % 1 * 1e6)
        head = f"{_LETTERS.get(record.levelno, 'I')}{stamp}.{micros:06d} {os.getpid():7d} {record.name}] "
        return head + _message(self, record)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "ts": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "level": record.levelname.lower(),
                "logger": record.name,
                "msg": _message(self, record),
            }
        )


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + formatter.formatException(record.exc_info)
    return text


def add_flags(parser: Parser) -> None:
    """`-v` and `--logging-format`, as upstream's component-base registers them."""
    parser.add_argument(
        "-v", "--v", type=int, default=2, metavar="N", help="verbosity: 4 and above shows debug entries"
    )
    parser.add_argument("--logging-format", choices=("text", "json"), default="text", help="layout of log entries")


def setup(verbosity: int = 2, layout: str = "text") -> None:
    """Send all loggers to standard error in this layout."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if layout == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    if verbosity < 6:
        # These two log every connection at their own debug and info levels.
        for name in ("aiohttp.access", "asyncio"):
            logging.getLogger(name).setLevel(logging.WARNING)
