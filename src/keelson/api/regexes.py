"""Regular expressions that users bring: in schemas and in rules.

Their syntax is RE2's, as it is for every client of the API, and their time is linear in the text: Python's own engine
can be kept busy for ever by a pattern and a text of thirty characters, which whoever may create a CRD would choose.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

_MEMORY = 1 << 20


class PatternError(ValueError):
    """Text that is no pattern; the message is RE2's."""


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    return options


@lru_cache(maxsize=512)
def compile(pattern: str) -> Any:  # noqa: A001 - used as regexes.compile
    """The compiled pattern, with the methods of `re.Pattern`. Raises PatternError."""
    try:
        return re2.compile(pattern, _options())
    except re2.error as error:
        text = error.args[0] if error.args else ""
        raise PatternError(text.decode(errors="replace") if isinstance(text, bytes) else str(text)) from error
