"""Lists: which revision they show, how they are cut into pages, and what they select.

Served from the cache at the revision that resourceVersion and resourceVersionMatch ask for; a page of an older revision
is rebuilt from history, and read from the store where history is too short (API concepts, "Resource versions").
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from keelson.api import errors, field_selectors, selectors
from keelson.api.meta import Object
from keelson.kube_apiserver.caches.collections import Collection, ExpiredError
from keelson.kube_apiserver.caches.feeds import Feed
from keelson.kube_apiserver.caches.items import Item
from keelson.kube_apiserver.caches.selections import Selection
from keelson.kube_apiserver.serving.messages import Request
from keelson.storage import errors as storage_errors
from keelson.storage.stores import Store

from . import parameters, selectable_fields
from .catalogues import Catalogue, Served
from .conversions import selectable_field
from .numbers import integer
from .objects import Objects, translated

# How long a request waits for a revision that the cache has not seen yet.
_FUTURE_SECONDS = 3.0
_CONTINUE_VERSION = "meta.k8s.io/v1"
_MOST_LIMIT = 1 << 31
_MOST_DIGITS = 19
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


_NO_BASE64 = re.compile(r"[^A-Za-z0-9_-]")


class ContinueExpiredError(errors.StatusError):
    """410 for a page of a list whose revision is gone, with a token that goes on at the present one."""

    def __init__(self, token: str) -> None:
        super().__init__(410, "Expired", _EXPIRED)
        self._token = token

    def status(self) -> Object:
        """The Status, whose metadata carries the token."""
        return {**super().status(), "metadata": {"continue": self._token}}


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The parameters of a list or watch, checked."""

    selection: Selection
    resource_version: str = ""
    match: str = ""
    limit: int = 0
    continue_: str = ""


def _selectors(request: Request) -> tuple[selectors.Selector, field_selectors.FieldSelector]:
    """The request's selectors, whatever they select by. Raises StatusError 400."""
    try:
        return (
            selectors.parse(request.parameter("labelSelector")),
            field_selectors.parse(request.parameter("fieldSelector")),
        )
    except (selectors.SelectorError, field_selectors.FieldSelectorError) as error:
        raise errors.bad_request(str(error)) from error


def _selection(
    served: Served, namespace: str, name: str, labels: selectors.Selector, fields: field_selectors.FieldSelector
) -> Selection:
    """What selectors select of a resource. Raises StatusError 400 where it can't be selected by a field."""
    supported = selectable_fields.of(served.resource, served.extras)
    terms = []
    for term in fields.terms:
        field = selectable_field(served.resource, term.field)
        if field not in supported and not selectable_fields.is_general(served.resource, field):
            raise errors.bad_request(_not_selectable(served, term.field))
        terms.append(field_selectors.Term(field, term.operator, term.value))
    if name:
        terms.append(field_selectors.Term("metadata.name", field_selectors.EQUALS, name))
    return Selection(namespace, labels, field_selectors.FieldSelector(tuple(terms)))


def _not_selectable(served: Served, field: str) -> str:
    """Upstream has one sentence for kinds whose fields it lists, and one for those that have none of their own."""
    if served.custom or selectable_fields.of(served.resource, served.extras):
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def options_of(request: Request, served: Served, namespace: str, name: str = "", *, watch: bool = False) -> ListOptions:
    """The list options of a request. Raises StatusError 400 and 422."""
    if not request.query_string:
        return ListOptions(_selection(served, namespace, name, *_selectors(request)))
    if "timeoutSeconds" in request.query:
        integer(request.parameter("timeoutSeconds"))
    limit = integer(request.parameter("limit", "0"))
    # What does not go together is refused before what can't be selected by, and after what can't be read.
    labels, fields = _selectors(request)
    version, match = request.parameter("resourceVersion"), request.parameter("resourceVersionMatch")
    continue_ = request.parameter("continue")
    parameters.check_list(
        match=match,
        version=version,
        continued=bool(continue_),
        initial="sendInitialEvents" in request.query,
        watch=watch,
    )
    return ListOptions(
        _selection(served, namespace, name, labels, fields),
        version,
        match,
        # Below 0 is no limit, as upstream's storage has it.
        max(0, min(limit, _MOST_LIMIT)),
        continue_,
    )


def revision_of(text: str, of: str = "") -> int:
    """A resourceVersion as a revision, 0 where it is absent; `of` begins the error. Raises StatusError 400."""
    if not text:
        return 0
    # Unsigned, but for that the same words as for every other number.
    problem = "invalid syntax"
    if text.isascii() and text.isdecimal():
        significant = text.lstrip("0")
        if len(significant) <= _MOST_DIGITS and int(significant or "0") < 1 << 63:
            return int(significant or "0")
        problem = "value out of range"
    why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {problem}'
    raise errors.bad_request(f"{of}{why}")


def too_large(revision: int, current: int) -> errors.StatusError:
    """504: the revision has not happened yet."""
    return errors.StatusError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {revision}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )


def encode_continue(revision: int, start: str) -> str:
    """The token of the next page, which begins at the key `start` (relative to what is listed)."""
    token = {"v": _CONTINUE_VERSION, "rv": revision, "start": start}
    return base64.urlsafe_b64encode(orjson.dumps(token)).decode().rstrip("=")


def decode_continue(token: str) -> tuple[int, str]:
    """(revision, start) of a token; revision -1 goes on at whatever is current. Raises StatusError 400."""

    def refused(why: object) -> errors.StatusError:
        return errors.bad_request(f"invalid continue token: continue key is not valid: {why}")

    strange = _NO_BASE64.search(token)
    if strange or len(token) % 4 == 1:
        raise refused(f"illegal base64 data at input byte {strange.start() if strange else len(token) - 1}")
    try:
        value = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except ValueError as error:
        raise refused(error) from error
    if not isinstance(value, dict):
        raise refused("no object")
    version, revision, start = value.get("v") or "", value.get("rv") or 0, value.get("start") or ""
    if version != _CONTINUE_VERSION:
        raise refused(f"server does not recognize this encoded version {version}")
    if type(revision) is not int or not isinstance(start, str):
        raise refused("a number and a key are needed")
    if not revision or not -1 <= revision < 1 << 63:
        raise refused(f"incorrect encoded start resourceVersion (version {_CONTINUE_VERSION})")
    if not start:
        raise refused(f"encoded start key empty (version {_CONTINUE_VERSION})")
    key = start.removeprefix("/")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise refused(start)
    return revision, key


def _root(served: Served, options: ListOptions) -> str:
    """What the keys in tokens are relative to: the part of the store that is listed, as upstream has it."""
    namespace = options.selection.namespace
    return f"{served.prefix}{namespace}/" if namespace and served.resource.namespaced else served.prefix


def _gone(served: Served, options: ListOptions, start: str) -> errors.StatusError:
    """The error of a list whose revision is compacted: with the way to go on, where it was a page."""
    if options.continue_ and start:
        return ContinueExpiredError(encode_continue(-1, start[len(_root(served, options)) :]))
    return errors.expired("The provided resource version is too old")


class Lists:
    """The verb list."""

    def __init__(self, objects: Objects, feed: Feed, store: Store, catalogue: Catalogue) -> None:
        self._objects = objects
        self._feed = feed
        self._store = store
        self._catalogue = catalogue

    async def list(self, served: Served, options: ListOptions) -> tuple[Sequence[Item], Object]:
        """(items, the list's metadata). Raises StatusError."""
        start, revision = "", 0
        if options.continue_:
            revision, start = decode_continue(options.continue_)
            if options.resource_version not in ("", "0"):
                raise errors.bad_request("specifying resource version is not allowed when using continue")
            start = _root(served, options) + start
            if revision == -1:
                revision = 0
            collection = await self._objects.fresh(served) if not revision else await self.reached(served, revision)
        elif not options.resource_version:
            collection = await self._objects.fresh(served)
        else:
            wanted = revision_of(options.resource_version, "invalid resource version: ")
            collection = await self.reached(served, wanted)
            if options.match == "Exact" or (options.limit and wanted and not options.match):
                revision = wanted
        if revision and revision < self._feed.oldest:
            # The cache may know it still; but when a token ends must not hang on which instance is asked, or how busy.
            raise _gone(served, options, start)
        shown = revision or self._objects.revision(served)
        items: Sequence[Item]
        try:
            items, following, remaining = collection.listed(
                options.selection, start=start, limit=options.limit, revision=revision
            )
        except ExpiredError:
            items, following, remaining = await self._from_store(served, options, start, revision)
        metadata: Object = {"resourceVersion": str(shown)}
        if following:
            # After the last key that was shown, whatever comes there.
            metadata["continue"] = encode_continue(shown, items[-1].key[len(_root(served, options)) :] + "\0")
            if options.selection.unconditional:
                metadata["remainingItemCount"] = remaining
        return items, metadata

    async def reached(self, served: Served, revision: int) -> Collection:
        """The cache once it is at `revision`. Raises StatusError 504 where that takes too long."""
        collection = await self._objects.cached(served)
        if revision > self._feed.revision:
            try:
                async with asyncio.timeout(_FUTURE_SECONDS):
                    await self._feed.reach(revision)
            except TimeoutError as error:
                raise too_large(revision, self._feed.revision) from error
            # It may have been loaded anew meanwhile.
            collection = await self._objects.cached(served)
        return collection

    async def _from_store(
        self, served: Served, options: ListOptions, start: str, revision: int
    ) -> tuple[Sequence[Item], str, int]:
        """A page of a revision that is older than history."""
        namespace = options.selection.namespace
        prefix = f"{served.prefix}{namespace}/" if namespace else served.prefix
        indexer = self._catalogue.collection(served).indexer
        chosen: list[Item] = []
        while True:
            try:
                page = await self._store.list(prefix, limit=options.limit or 1000, start=start, revision=revision)
            except storage_errors.CompactedError as error:
                raise _gone(served, options, start) from error
            except storage_errors.StorageError as error:
                raise translated(error) from error
            objects = [self._catalogue.decode(served, entry.key, entry.value) for entry in page.entries]
            if served.view is not None:
                objects = await served.view.all_decoded(objects)
            for position, (entry, decoded) in enumerate(zip(page.entries, objects, strict=True)):
                item = indexer.item(entry.key, decoded, entry.mod_revision)
                if options.selection.matches(item, indexer):
                    if options.limit and len(chosen) == options.limit:
                        return chosen, item.key, page.remaining + len(page.entries) - position
                    chosen.append(item)
            if not page.remaining:
                return chosen, "", 0
            start = page.entries[-1].key + "\0"
            if options.limit and len(chosen) == options.limit and options.selection.unconditional:
                return chosen, start, page.remaining
