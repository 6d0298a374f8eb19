"""Writes in random places between lists that are read page by page and watches from anywhere, and what they must show.

One client writes, so that the history of the collection is known: at each of its revisions, which objects there were.
Whatever is listed must be the collection at the revision that the list states, all pages together; whatever is watched
must be what happened since, as the watch's selector sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as some

NAMESPACES = ("default", "kube-public")
NAMES = ("a", "b", "c")
Object = dict[str, Any]
Key = tuple[str, str]
State = dict[Key, Object]


class Write(NamedTuple):
    """Makes the object so, whatever it was; `label` "" is none, and a deletion states neither."""

    key: Key
    label: str
    text: str
    gone: bool = False


class Scope(NamedTuple):
    """What is asked for: `namespace` "" is all, `label` and `text` are selectors where they are not None."""

    namespace: str
    label: str | None
    text: str | None

    def shows(self, key: Key, obj: Object | None) -> bool:
        """Whether an object is in it."""
        if obj is None or (self.namespace and key[0] != self.namespace):
            return False
        labels = obj["metadata"].get("labels", {})
        return (self.label is None or labels.get("l") == self.label) and (
            self.text is None or obj["spec"].get("text", "") == self.text
        )

    @property
    def query(self) -> str:
        """The selectors."""
        label = "" if self.label is None else f"&labelSelector=l%3D{self.label}"
        return label + ("" if self.text is None else f"&fieldSelector=spec.text%3D{self.text}")


class Listing(NamedTuple):
    """A list, a page after each step that follows. `since` is how many writes ago, None for no revision, -1 for "0"."""

    scope: Scope
    limit: int
    since: int | None
    match: str


class Watching(NamedTuple):
    """A watch until the sequence's end; `initial` asks for the present state first."""

    scope: Scope
    since: int | None
    initial: bool
    bookmarks: bool


Step = Write | Listing | Watching

_KEYS = some.tuples(some.sampled_from(NAMESPACES), some.sampled_from(NAMES))
_LABELS = some.sampled_from(["", "x", "y"])
_TEXTS = some.sampled_from(["p", "q"])
_SCOPES = some.builds(
    Scope,
    some.sampled_from(["", *NAMESPACES]),
    some.sampled_from([None, None, "x", "y"]),
    some.sampled_from([None, None, "p", "q"]),
)
_SINCE = some.none() | some.integers(-1, 4)
_WRITES: some.SearchStrategy[Step] = some.builds(Write, _KEYS, _LABELS, _TEXTS, some.sampled_from([False, False, True]))
_LISTINGS: some.SearchStrategy[Step] = some.builds(
    Listing, _SCOPES, some.sampled_from([0, 1, 2, 3]), _SINCE, some.sampled_from(["", "Exact", "NotOlderThan"])
)
_WATCHINGS: some.SearchStrategy[Step] = some.builds(Watching, _SCOPES, _SINCE, some.booleans(), some.booleans())
HISTORIES = some.lists(_WRITES | _WRITES | _WRITES | _LISTINGS | _WATCHINGS, min_size=3, max_size=20)
"""Sequences of steps, most of which write."""


class Change(NamedTuple):
    """What one write did: it has a revision after `above` and up to `revision`, mostly that very one."""

    key: Key
    before: Object | None
    after: Object | None
    above: int
    revision: int


class Event(NamedTuple):
    """What a watch says of a change."""

    type: str
    key: Key
    revision: int
    told: Object


class History:
    """All that happened to a collection that was empty at `start`."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.changes: list[Change] = []

    @property
    def last(self) -> int:
        """The newest revision that the writer knows of."""
        return self.changes[-1].revision if self.changes else self.start

    def ago(self, writes: int) -> int:
        """The revision that was the last so many writes ago, or the first one."""
        return self.changes[-1 - writes].revision if writes < len(self.changes) else self.start

    def present(self, key: Key) -> Object | None:
        """The object as it is now."""
        return next((each.after for each in reversed(self.changes) if each.key == key), None)

    def states(self, revision: int) -> Iterator[State]:
        """What there was at a revision: two states where it is not known whether a change had happened."""
        state: State = {}
        for change in self.changes:
            if change.above >= revision:
                break
            if change.revision > revision:
                yield dict(state)
            if change.after is None:
                state.pop(change.key, None)
            else:
                state[change.key] = change.after
        yield state

    def events(self, scope: Scope, after: int) -> list[Event]:
        """What a watch of the scope that began at a revision of a known change says."""
        found = []
        for change in self.changes:
            if change.revision <= after:
                continue
            was, is_ = scope.shows(change.key, change.before), scope.shows(change.key, change.after)
            if is_ and change.after is not None:
                found.append(Event("MODIFIED" if was else "ADDED", change.key, change.revision, change.after))
            elif was and change.before is not None:
                found.append(Event("DELETED", change.key, change.revision, change.before))
        return found


def key_of(obj: Object) -> Key:
    """Where an object lies."""
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def content(obj: Object) -> Any:
    """What the writer has said of an object."""
    return obj["metadata"].get("labels", {}), obj["spec"]


def revision_of(obj: Object) -> int:
    """An object's or list's revision."""
    return int(obj["metadata"]["resourceVersion"])


def judge_list(history: History, scope: Scope, items: list[Object], revision: int) -> None:
    """AssertionError unless these are the scope's objects at the revision, in the order of their keys."""
    shown = [(key_of(each), revision_of(each), content(each)) for each in items]
    possible = []
    for state in history.states(revision):
        visible = sorted(key for key, obj in state.items() if scope.shows(key, obj))
        possible.append([(key, revision_of(state[key]), content(state[key])) for key in visible])
    assert shown in possible, (scope, revision, shown, possible)


def judge_events(told: list[Event], due: list[Event], *, above: Callable[[Event], int]) -> None:
    """AssertionError unless the watch said what was due; of a deletion's revision only its bounds are known."""
    assert [(each.type, each.key) for each in told] == [(each.type, each.key) for each in due], (told, due)
    for one, other in zip(told, due, strict=True):
        assert above(other) < one.revision <= other.revision, (one, other)
        assert content(one.told) == content(other.told), (one, other)
