"""Command-line flags spelled and read as upstream's daemons read theirs.

argparse does the work; what it lacks is here: Go's booleans (`--flag` and `--flag=false`), durations, comma-separated
lists that may be given twice, `key=value` maps, and a refusal in one line that names the flag.
"""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from . import durations


class Parser(argparse.ArgumentParser):
    """A daemon's flags. Abbreviations are refused, as upstream refuses them."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """One line on standard error that names the flag; exit status 1."""
        sys.stderr.write(f"{self.prog}: {message}\n")
        sys.exit(1)

    def text(self, name: str, default: str = "", help: str = "", **more: Any) -> None:  # noqa: A002
        """A flag whose value is taken as it is."""
        self.add_argument(name, default=default, help=help, **more)

    def number(self, name: str, default: int, help: str = "") -> None:  # noqa: A002
        """A whole number."""
        self.add_argument(name, type=int, default=default, metavar="N", help=help)

    def boolean(self, name: str, default: bool = False, help: str = "") -> None:  # noqa: A002
        """`--name`, `--name=true` or `--name=false`."""
        self.add_argument(name, type=_boolean, nargs="?", const=True, default=default, metavar="BOOL", help=help)

    def duration(self, name: str, default: float, help: str = "") -> None:  # noqa: A002
        """Seconds, written as a Go duration."""
        self.add_argument(name, type=_typed(durations.parse), default=default, metavar="DURATION", help=help)

    def strings(self, name: str, default: Sequence[str] = (), help: str = "") -> None:  # noqa: A002
        """A comma-separated list; given twice, the lists are joined."""
        self.add_argument(name, action=_Extend, default=list(default), metavar="A,B", help=help)

    def mapping(self, name: str, default: dict[str, str] | None = None, help: str = "") -> None:  # noqa: A002
        """`key=value,key=value`; given twice, the maps are joined."""
        self.add_argument(name, action=_Merge, default=dict(default or {}), metavar="K=V", help=help)

    def address(self, name: str, default: str = "", help: str = "") -> None:  # noqa: A002
        """An IP address, kept as text in its canonical form."""
        self.add_argument(name, type=_typed(_address), default=default, metavar="IP", help=help)

    def network(self, name: str, default: str = "", help: str = "") -> None:  # noqa: A002
        """A CIDR, or two of different families joined by a comma; kept as text."""
        self.add_argument(name, type=_typed(_networks), default=default, metavar="CIDR", help=help)


def _typed(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def _boolean(text: str) -> bool:
    # The spellings of Go's strconv.ParseBool.
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise argparse.ArgumentTypeError(f'"{text}" is neither true nor false')


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text)) if text else ""


def _networks(text: str) -> str:
    return ",".join(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())


class _Extend(argparse.Action):
    def __call__(self, _parser: Any, namespace: Any, values: Any, _option: str | None = None) -> None:
        given = getattr(namespace, f"_{self.dest}_given", [])
        given = [*given, *(part for part in values.split(",") if part)]
        setattr(namespace, f"_{self.dest}_given", given)
        setattr(namespace, self.dest, given)


class _Merge(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        merged = dict(getattr(namespace, self.dest) or {})
        for pair in values.split(","):
            key, equals, value = pair.partition("=")
            if not equals or not key:
                parser.error(f'argument {option}: "{pair}" is not of the form key=value')
            merged[key] = value
        setattr(namespace, self.dest, merged)
