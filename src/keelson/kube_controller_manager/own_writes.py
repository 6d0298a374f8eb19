"""Reading one's own writes: objects just written that the informer has not shown yet.

A controller that creates a pod and looks at its informer at once does not see it and would create another. Here what
it wrote lies over what it reads, until the informer tells of the object as it was written or later, or the write grows
too old to be trusted. Which of two states is the later their resource versions say (KEP-5504).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from keelson.api import meta
from keelson.api.meta import Object
from keelson.client.informers import Informer

# client-go's ExpectationsTimeout: by then a watch has delivered or was resumed.
_TRUSTED_FOR = 300.0


class OwnWrites:
    """Creations, updates and deletions in one collection that its informer is still to show."""

    def __init__(self, informer: Informer, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._created: dict[str, tuple[Object, float]] = {}
        # By UID what the API answered where the object stays for a while, as pods do that end gracefully, else None.
        self._deleted: dict[str, tuple[Object | None, float]] = {}
        informer.add_handler(self._seen)

    def created(self, obj: Object) -> None:
        """The API answered a creation or update with this object."""
        self._created[meta.key(obj)] = (obj, self._monotonic() + _TRUSTED_FOR)

    def deleted(self, obj: Object, answer: Object | None = None) -> None:
        """The API accepted the deletion of this object; `answer` may be the object as it is on its way out."""
        stays = answer is not None and meta.uid(answer) == meta.uid(obj) and meta.is_deleting(answer)
        self._deleted[meta.uid(obj)] = (answer if stays else None, self._monotonic() + _TRUSTED_FOR)

    def _seen(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        entry = self._created.get(meta.key(obj))
        if entry is not None:
            # The end of an earlier object of this name says nothing about ours.
            over = meta.uid(entry[0]) == meta.uid(obj) if new is None else not _is_later(entry[0], new)
            if over:
                del self._created[meta.key(obj)]
        if new is None or meta.is_deleting(new):
            self._deleted.pop(meta.uid(obj), None)

    def over(self, seen: Iterable[Object], belongs: Callable[[Object], bool]) -> list[Object]:
        """What the informer shows as it was updated, with what was created and `belongs`, without what was deleted.

        What is deleted but stays for a while is shown as being deleted: it still takes the place that it has.
        """
        moment = self._monotonic()
        self._created = {key: entry for key, entry in self._created.items() if entry[1] > moment}
        self._deleted = {uid: entry for uid, entry in self._deleted.items() if entry[1] > moment}
        result = []
        for obj in seen:
            ending, _ = self._deleted.get(meta.uid(obj), (self._newest(obj), 0.0))
            if ending is not None:
                result.append(ending)
        known = {meta.key(obj) for obj in result}
        result += [obj for key, (obj, _) in self._created.items() if key not in known and belongs(obj)]
        return result

    def _newest(self, obj: Object) -> Object:
        entry = self._created.get(meta.key(obj))
        if entry is None or meta.uid(entry[0]) != meta.uid(obj):
            return obj
        return entry[0] if _is_later(entry[0], obj) else obj


def _is_later(left: Object, right: Object) -> bool:
    return int(meta.resource_version(left) or 0) > int(meta.resource_version(right) or 0)
