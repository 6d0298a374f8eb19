"""The cache of one resource: its items in the order of keys, its recent history, and those who watch it.

Items, history and the revision change together and synchronously, so that whoever runs on the event loop sees one
consistent state without a lock.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .items import Indexer, Item
from .selections import Selection
from .watchers import Group, Watcher

# History is what watches resume from and pages of an older revision are made of: upstream's window is 75 s and at
# least 100 events; the upper bound keeps a storm of large objects from filling the memory.
_WINDOW_SECONDS = 75.0
_LEAST, _MOST = 100, 20_000
_WORTH_KEEPING = 500


class Change(NamedTuple):
    """One event of the history: `current` is None where it is a deletion, `previous` None where it is a creation.

    `told` is what watchers are shown: `current`, or the last state at the revision of its deletion.
    """

    revision: int
    current: Item | None
    previous: Item | None
    told: Item
    moment: float


class ExpiredError(Exception):
    """The revision asked for is older than the history; `oldest` is the first that it reaches back to."""

    def __init__(self, oldest: int) -> None:
        super().__init__(oldest)
        self.oldest = oldest


class Collection:
    """All items of one resource."""

    def __init__(self, prefix: str, indexer: Indexer) -> None:
        self.prefix = prefix
        self.indexer = indexer
        self.items: dict[str, Item] = {}
        self._keys: list[str] = []
        # What whole lists were made of since the last change, by prefix: whoever lists gets the very same list.
        self._whole: dict[str, list[Item]] = {}
        self._history: deque[Change] = deque()
        # History is complete after this revision.
        self._oldest = 0
        # Events up to here are in what was listed.
        self._listed = 0
        # The revision of the last event of this resource.
        self.last_change = 0
        # How many events of the store have come, for metrics.
        self.received = 0
        # How often it was loaded; how many lists it has served, of how many items looked at and shown.
        self.loads = self.lists = self.fetched = self.returned = 0
        # How often history was broken: what happened meanwhile nobody can be told.
        self.gaps = 0
        self.groups: dict[object, Group] = {}
        # Parts of the server that follow this resource: called with the changes, or with None after `replace`.
        self.observers: list[Callable[[list[Change] | None], None]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def replace(self, items: Iterable[Item], revision: int) -> None:
        """Start over from a list at `revision`; history before it is gone."""
        self.loads += 1
        self.items = {item.key: item for item in items}
        self._keys = sorted(self.items)
        self._whole.clear()
        self._history.clear()
        self._oldest = self._listed = revision
        self.last_change = revision
        for observe in self.observers:
            observe(None)

    def apply(self, key: str, revision: int, item: Item | None, now: float) -> Change | None:
        """Take in one event of the store; None where it is known already."""
        previous = self.items.get(key)
        # One transaction of the store (a lease that ends) may change several keys at one revision.
        if revision <= self._listed or (previous is not None and revision <= previous.revision):
            return None
        self.last_change = max(self.last_change, revision)
        self._whole.clear()
        if item is None:
            if previous is None:
                return None
            del self.items[key]
            del self._keys[bisect.bisect_left(self._keys, key)]
            change = Change(revision, None, previous, previous.at(revision), now)
        else:
            self.items[key] = item
            if previous is None:
                bisect.insort(self._keys, key)
            change = Change(revision, item, previous, item, now)
        self._history.append(change)
        while len(self._history) > _LEAST and (
            len(self._history) > _MOST or self._history[0].moment < now - _WINDOW_SECONDS
        ):
            self._oldest = self._history.popleft().revision
        return change

    def since(self, revision: int) -> Iterator[Change]:
        """The changes after a revision, oldest first. Raises ExpiredError."""
        if revision < self._oldest:
            raise ExpiredError(self._oldest)
        return (change for change in self._history if change.revision > revision)

    def select(
        self, selection: Selection, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> tuple[list[Item], str, int]:
        """(items, the key to go on from or "", how many follow in the range), in the order of keys.

        The list of items may be shown to others too: it is not to be changed.

        `revision` above 0 asks for the state at that revision; ExpiredError where history does not reach so far.
        """
        return self._select(selection, start=start, limit=limit, revision=revision)[:3]

    def listed(
        self, selection: Selection, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> tuple[list[Item], str, int]:
        """`select` for a client's list, which is counted."""
        items, following, remaining, looked = self._select(selection, start=start, limit=limit, revision=revision)
        self.lists += 1
        self.fetched += looked
        self.returned += len(items)
        return items, following, remaining

    def _select(
        self, selection: Selection, *, start: str, limit: int, revision: int
    ) -> tuple[list[Item], str, int, int]:
        """As `select`, and how many items were looked at."""
        prefix = f"{self.prefix}{selection.namespace}/" if selection.namespace else self.prefix
        keys, items = self._keys, self.items
        if revision and revision < self.last_change:
            keys, items = self._past(revision)
        first = bisect.bisect_left(keys, max(prefix, start))
        # "0" follows "/", so this is the first key after the prefix.
        last = bisect.bisect_left(keys, prefix[:-1] + "0")
        if selection.unconditional:
            end = min(last, first + limit) if limit else last
            if keys is self._keys and end - first == last - first >= _WORTH_KEEPING and not start:
                whole = self._whole.get(prefix)
                if whole is None:
                    whole = self._whole[prefix] = [items[key] for key in keys[first:end]]
                return whole, "", 0, len(whole)
            chosen = [items[key] for key in keys[first:end]]
            return chosen, (keys[end] if end < last else ""), last - end, len(chosen)
        chosen = []
        for position in range(first, last):
            item = items[keys[position]]
            if selection.matches(item, self.indexer):
                if limit and len(chosen) == limit:
                    return chosen, item.key, last - position, position - first + 1
                chosen.append(item)
        return chosen, "", 0, last - first

    def _past(self, revision: int) -> tuple[list[str], dict[str, Item]]:
        changes = list(self.since(revision))
        items = dict(self.items)
        for change in reversed(changes):
            if change.previous is None:
                items.pop(change.told.key, None)
            else:
                items[change.told.key] = change.previous
        return sorted(items), items

    def recent(self, most: int) -> tuple[int, list[Item], list[Change]]:
        """(a revision, the items as they were then, the changes since), so that another cache can be made of this one.

        At most `most` changes, and fewer where history is shorter.
        """
        history = list(self._history)
        changes = history[-most:]
        revision = history[-most - 1].revision if len(history) > most else self._oldest
        if changes and revision == changes[0].revision:
            # Changes of one revision can't be told apart by it.
            changes = [change for change in changes if change.revision > revision]
        items = self._past(revision)[1] if changes else self.items
        return revision, list(items.values()), changes

    def join(self, watcher: Watcher) -> None:
        """Tell the watcher of every change from now on."""
        group = self.groups.get(watcher.group_key)
        if group is None:
            group = self.groups[watcher.group_key] = Group(watcher.selection, watcher.frames)
        group.watchers.add(watcher)

    def leave(self, watcher: Watcher) -> None:
        """The opposite of `join`; harmless where it was never in."""
        group = self.groups.get(watcher.group_key)
        if group is not None:
            group.watchers.discard(watcher)
            if not group.watchers:
                del self.groups[watcher.group_key]

    def expire(self) -> None:
        """End every watch: history has a gap that can't be filled."""
        for group in list(self.groups.values()):
            for watcher in list(group.watchers):
                watcher.end()
        self.groups.clear()

    def tell(self, changes: list[Change]) -> None:
        """Show the changes to those who watch, each group's frames made once and handed over in one piece."""
        for observe in self.observers:
            observe(changes)
        for group in list(self.groups.values()):
            data = group.render(changes, self.indexer)
            if data:
                for watcher in list(group.watchers):
                    watcher.send(data)
