"""Compressed pieces put together are gzip, and lists share the pieces that did not change between them."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.registry.listed_pieces import Pieces
from keelson.kube_apiserver.serving import pieces


@pytest.mark.parametrize("sizes", [[0], [1], [256], [257], [100_000], [0, 1, 300, 0, 65_535, 65_536, 255, 3]])
def test_pieces_put_together_are_gzip(sizes: list[int]) -> None:
    chance = random.Random(1)
    parts = [chance.randbytes(size // 2) + b"a" * (size - size // 2) for size in sizes]
    body = pieces.Body()
    sent = pieces.HEADER + b"".join([body.add(pieces.pack(part)) for part in parts]) + body.end()
    whole = b"".join(parts)
    assert gzip.decompress(sent) == whole
    # One member and nothing behind it: some clients stop at the first.
    packer = zlib.decompressobj(wbits=31)
    assert packer.decompress(sent) == whole
    assert packer.eof
    assert packer.unused_data == b""


def test_a_piece_is_compressed_once() -> None:
    piece = pieces.Piece(b"a" * 1000)
    assert pieces.pack(piece) is pieces.pack(piece)


def _item(number: int, revision: int = 1) -> Item:
    name = f"object-{number:04}"
    return Item(f"/registry/things/{name}", "", name, revision, {}, (), b"%d@%d," % (number, revision))


async def test_lists_share_what_did_not_change() -> None:
    made = Pieces(lambda some: b"".join([item.body for item in some]))
    items = [_item(number) for number in range(1000)]
    first = made.of(items)
    assert b"".join(first) == b"".join([item.body for item in items])
    assert [id(piece) for piece in made.of(list(items))] == [id(piece) for piece in first]
    changed = [*items[:500], _item(500, 2), *items[501:]]
    second = made.of(changed)
    assert b"".join(second) == b"".join([item.body for item in changed])
    assert len({id(piece) for piece in second} - {id(piece) for piece in first}) == 1
    fewer = [*items[:200], *items[201:]]
    third = made.of(fewer)
    assert b"".join(third) == b"".join([item.body for item in fewer])
    assert len({id(piece) for piece in third} - {id(piece) for piece in first}) <= 2
    assert len(first) > 10
