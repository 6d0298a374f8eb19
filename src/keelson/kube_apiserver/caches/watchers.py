"""Those who watch a resource, in groups that want the same bytes.

A thousand informers of one resource differ in nothing but their connection: a group selects and encodes a change once,
and hands the same buffer to each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from keelson.component_base.histograms import Histogram

from .items import Indexer, Item
from .selections import Selection

if TYPE_CHECKING:
    from .collections import Change

ADDED, MODIFIED, DELETED, BOOKMARK, ERROR = "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"


class Frames(Protocol):
    """One wire form of watch events, such as JSON of one API version. Equal forms are one object.

    `sizes` are those of all events that clients were sent in it, in bytes.
    """

    sizes: Histogram

    def frame(self, type_: str, item: Item) -> bytes:
        """The event, ready to be sent."""
        ...


class Watcher:
    """One watch. `send` takes bytes at once and never waits: it ends the watch where the client does not keep up."""

    __slots__ = ("end", "frames", "selection", "send")

    def __init__(
        self, selection: Selection, frames: Frames, send: Callable[[bytes], None], end: Callable[[], None]
    ) -> None:
        self.selection = selection
        self.frames = frames
        self.send = send
        self.end = end

    @property
    def group_key(self) -> object:
        """Watchers of equal keys want the same bytes."""
        return (self.selection, id(self.frames))


class Group:
    """Watchers of one selection and one wire form."""

    __slots__ = ("frames", "selection", "watchers")

    def __init__(self, selection: Selection, frames: Frames) -> None:
        self.selection = selection
        self.frames = frames
        self.watchers: set[Watcher] = set()

    def render(self, changes: Sequence[Change], indexer: Indexer) -> bytes:
        """The frames of what these changes mean to the selection, in order; they count as sent to each watcher."""
        parts: list[bytes] = []
        sizes, watchers = self.frames.sizes, len(self.watchers)
        for change in changes:
            type_, item = transition(self.selection, change, indexer)
            if type_:
                frame = self.frames.frame(type_, item)
                parts.append(frame)
                sizes.note(len(frame), watchers)
        return b"".join(parts)


def transition(selection: Selection, change: Change, indexer: Indexer) -> tuple[str, Item]:
    """How a change looks to one selection: what moves into it is added, what moves out of it is deleted.

    The type is "" where it does not concern the selection.
    """
    before = change.previous is not None and selection.matches(change.previous, indexer)
    after = change.current is not None and selection.matches(change.current, indexer)
    if after and change.current is not None:
        return (MODIFIED if before else ADDED), change.current
    if before and change.previous is not None:
        # Moved out of the selection: shown as it was when last selected, at the revision of the change.
        shown = change.told if change.current is None else change.previous.at(change.revision)
        return DELETED, shown
    return "", change.told
