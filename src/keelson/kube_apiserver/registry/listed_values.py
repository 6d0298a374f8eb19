"""Lists that are made of values anew: for people, in YAML, in CBOR, of metadata alone.

Each item is encoded by itself and in turns with other requests, because a long list takes longer than others may wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import orjson

from keelson.api import cbor
from keelson.api.meta import Object
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.encodings.answers import to_yaml
from keelson.kube_apiserver.serving.negotiation import CBOR, YAML, Form

# Items between two turns: some milliseconds of work for the slowest writer, YAML's.
_TURN = 16
_INDENTED = orjson.OPT_INDENT_2


async def parts(opened: Object, items: Sequence[Item], value_of: Callable[[Item], Object], form: Form) -> list[bytes]:
    """The list's bytes; `opened` is the list without its items."""
    if form.media_type == YAML:
        return await _yaml(opened, items, value_of)
    if form.media_type == CBOR:
        start = [cbor.PREFIX, cbor.map_head(len(opened) + 1)]
        start += [cbor.encode(each) for pair in opened.items() for each in pair]
        start += [cbor.encode("items"), cbor.array_head(len(items))]
        return [*start, *await _encoded(items, lambda some: b"".join([cbor.encode(value_of(item)) for item in some]))]
    if not form.pretty:
        start = [orjson.dumps(opened)[:-1] + b',"items":[']
        runs = await _encoded(items, lambda some: b",".join([orjson.dumps(value_of(item)) for item in some]))
        return [*start, *_between(runs, b","), b"]}"]
    start = [orjson.dumps(opened, option=_INDENTED)[: -len(b"\n}")] + b',\n  "items": [']
    runs = await _encoded(items, lambda some: b",".join([_indented(value_of(item)) for item in some]))
    return [*start, *_between(runs, b","), b"\n  ]\n}" if items else b"]\n}"]


def _indented(value: Object) -> bytes:
    # No string holds a line break: JSON writes them escaped.
    return (b"\n" + orjson.dumps(value, option=_INDENTED)).replace(b"\n", b"\n    ")


async def _yaml(opened: Object, items: Sequence[Item], value_of: Callable[[Item], Object]) -> list[bytes]:
    before = {name: value for name, value in opened.items() if name < "items"}
    after = {name: value for name, value in opened.items() if name > "items"}
    if not items:
        return [to_yaml({**opened, "items": []})]
    runs = await _encoded(items, lambda some: to_yaml([value_of(item) for item in some]))
    return [to_yaml(before), b"items:\n", *runs, to_yaml(after)]


async def _encoded(items: Sequence[Item], encode: Callable[[Sequence[Item]], bytes]) -> list[bytes]:
    runs: list[bytes] = []
    for first in range(0, len(items), _TURN):
        if first:
            await asyncio.sleep(0)
        runs.append(encode(items[first : first + _TURN]))
    return runs


def _between(runs: list[bytes], separator: bytes) -> list[bytes]:
    return [run if not place else separator + run for place, run in enumerate(runs)]
