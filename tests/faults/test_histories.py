"""Lists and watches in the midst of writes show the collection's history, without gap, repetition or mixture."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.faults.fuzzing import histories, sequences
from tests.faults.fuzzing.histories import NAMESPACES, Change, Event, History, Listing, Scope, Step, Watching, Write
from tests.faults.fuzzing.requests import Case
from tests.faults.fuzzing.targets import Target, counts, run

pytestmark = pytest.mark.lab

_ROOT = f"/apis/{sequences.GROUP}/v1"
_PATIENCE_SECONDS = 10
# An event that nobody waits for has been sent when the answer to the write that it tells of was.
_SILENCE_SECONDS = 0.02


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        found = Target(cluster)
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        body = json.dumps(sequences.DEFINITION).encode()
        assert found.ask(Case("POST", path, body, "application/json"))[0] == 201
        waits.blocked_until(lambda: found.ask(Case("GET", f"{_ROOT}/things"))[0] == 200)
        yield found
        found.close()


def _collection(namespace: str) -> str:
    return f"{_ROOT}/namespaces/{namespace}/things" if namespace else f"{_ROOT}/things"


class Pages:
    """A list that is being read."""

    def __init__(self, target: Target, history: History, step: Listing) -> None:
        self._target, self._history, self._scope = target, history, step.scope
        self._limit = step.limit
        self._wanted = 0
        query = ""
        if step.since is not None:
            self._wanted = history.ago(step.since) if step.since >= 0 else 0
            # "0" means any revision, to which none is exact.
            match = "" if step.since < 0 and step.match == "Exact" else step.match
            query = f"&resourceVersion={self._wanted}" + (f"&resourceVersionMatch={match}" if match else "")
            # A limit alone asks for exactly this revision, as it did before there was resourceVersionMatch.
            exact = match == "Exact" or (step.limit and not match and self._wanted)
        else:
            exact = False
            self._wanted = history.last
        self._exact = self._wanted if exact else 0
        self._items: list[Any] = []
        self._revision = 0
        self._query = query + step.scope.query
        self._continue = ""
        self.done = False
        self.read()

    def read(self) -> None:
        """The next page; the last one is judged with all before."""
        more = f"&continue={self._continue}&limit={self._limit}{self._scope.query}" if self._continue else self._query
        limit = f"limit={self._limit}" if not self._continue else ""
        status, body = self._target.ask(Case("GET", f"{_collection(self._scope.namespace)}?{limit}{more}"))
        page = json.loads(body)
        assert status == 200, (more, page)
        revision = histories.revision_of(page)
        assert self._revision in (0, revision)
        self._revision = revision
        assert not self._limit or len(page["items"]) <= self._limit
        self._items += page["items"]
        self._continue = page["metadata"].get("continue", "")
        self.done = not self._continue
        if self.done:
            assert revision == self._exact if self._exact else revision >= self._wanted
            histories.judge_list(self._history, self._scope, self._items, revision)


class Watch:
    """A watch that is open."""

    def __init__(self, target: Target, history: History, step: Watching) -> None:
        self._history, self._step = history, step
        self._connection = http.client.HTTPSConnection(
            "localhost", target.cluster.port, context=target.context, timeout=_PATIENCE_SECONDS
        )
        self._after = history.last
        self._version = None if step.since is None else history.ago(step.since) if step.since >= 0 else 0
        query = "watch=1" + (f"&resourceVersion={self._version}" if self._version is not None else "")
        if step.initial:
            query += "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        if step.bookmarks:
            query += "&allowWatchBookmarks=true"
        self._connection.request("GET", f"{_collection(step.scope.namespace)}?{query}{step.scope.query}")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()

    def _next(self) -> tuple[str, Any]:
        event = json.loads(self._answer.readline())
        return event["type"], event["object"]

    def _told(self) -> Event:
        type_, obj = self._next()
        assert type_ in ("ADDED", "MODIFIED", "DELETED"), (type_, obj)
        return Event(type_, histories.key_of(obj), histories.revision_of(obj), obj)

    def judge(self) -> None:
        """Read what is due, and see that there is no more."""
        scope, history = self._step.scope, self._history
        after = self._version or 0
        if self._step.initial or not self._version:
            # The state first. Nothing is older than the last write: its answer came after its event.
            state = next(iter(history.states(self._after)))
            visible = sorted(key for key, obj in state.items() if scope.shows(key, obj))
            initial = [self._told() for _ in visible]
            assert [(each.type, each.key, each.revision) for each in initial] == [
                ("ADDED", key, histories.revision_of(state[key])) for key in visible
            ]
            after = self._after
        if self._step.initial and self._step.bookmarks:
            type_, obj = self._next()
            assert (type_, obj["metadata"]["annotations"]) == ("BOOKMARK", {"k8s.io/initial-events-end": "true"})
            assert histories.revision_of(obj) >= self._after
        due = history.events(scope, after)
        above = {each.revision: each.above for each in history.changes}
        histories.judge_events([self._told() for _ in due], due, above=lambda event: above[event.revision])
        self._connection.sock.settimeout(_SILENCE_SECONDS)
        with contextlib.suppress(TimeoutError):
            raise AssertionError(self._answer.readline())

    def close(self) -> None:
        """Leave."""
        self._answer.close()
        self._connection.close()


def _revision(target: Target) -> int:
    return histories.revision_of(json.loads(target.ask(Case("GET", f"{_ROOT}/things?limit=1"))[1]))


def write(target: Target, history: History, step: Write) -> None:
    """Do it, and note what came of it."""
    (namespace, name), before = step.key, history.present(step.key)
    path = f"{_collection(namespace)}/{name}"
    if step.gone:
        status, body = target.ask(Case("DELETE", path))
        assert status == (404 if before is None else 200), body
        if before is not None:
            history.changes.append(Change(step.key, before, None, history.last, _revision(target)))
        return
    metadata = {"name": name, "namespace": namespace, "labels": {"l": step.label} if step.label else {}}
    obj: Any = {"apiVersion": f"{sequences.GROUP}/v1", "kind": "Thing", "metadata": metadata}
    obj["spec"] = {"text": step.text}
    if before is not None:
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
    case = Case("POST", _collection(namespace)) if before is None else Case("PUT", path)
    status, body = target.ask(case._replace(body=json.dumps(obj).encode(), media_type="application/json"))
    made = json.loads(body)
    assert status < 300, made
    revision = histories.revision_of(made)
    if before is None or revision != histories.revision_of(before):
        history.changes.append(Change(step.key, before, made, revision - 1, revision))


@counts(80, 1500)
def test_lists_and_watches(target: Target, examples: int) -> None:
    def judge(steps: list[Step]) -> None:
        for namespace in NAMESPACES:
            assert target.ask(Case("DELETE", _collection(namespace)))[0] == 200
        history = History(_revision(target))
        pages: list[Pages] = []
        with contextlib.ExitStack() as stack:
            watches: list[Watch] = []
            for step in steps:
                match step:
                    case Write():
                        write(target, history, step)
                    case Listing():
                        pages.append(Pages(target, history, step))
                    case Watching():
                        watches.append(stack.enter_context(contextlib.closing(Watch(target, history, step))))
                pages = [each for each in pages if not each.done]
                for each in pages:
                    each.read()
            while pages := [each for each in pages if not each.done]:
                for each in pages:
                    each.read()
            for watch in watches:
                watch.judge()
        whole = json.loads(target.ask(Case("GET", f"{_ROOT}/things"))[1])
        histories.judge_list(history, Scope("", None, None), whole["items"], histories.revision_of(whole))

    run(examples, histories.HISTORIES, judge)
