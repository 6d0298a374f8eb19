"""The sequential model of one API object: what each verb would answer if requests came one at a time.

Content is two words: a PUT writes both, a PATCH only the second, so that a patch that is computed from an old object
shows. Every write carries words of its own, hence content tells the revision and a PUT's resourceVersion can be told by
the content that was read with it. Revisions that answers tell must rise with every write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Content(NamedTuple):
    """What is in the object."""

    put: str
    patched: str


class Verb(StrEnum):
    """What is asked for."""

    GET = "get"
    CREATE = "create"
    PUT = "put"
    SWAP = "swap"
    PATCH = "patch"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Action:
    """A request. `word` is what it writes; `expected` is the content of the revision that a SWAP insists on."""

    verb: Verb
    word: str = ""
    expected: Content | None = None


class Answer(StrEnum):
    """What was answered."""

    DONE = "done"
    NOT_FOUND = "not found"
    EXISTS = "exists"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer; where it shows the object, its content and revision (0 where the answer does not tell)."""

    answer: Answer
    content: Content | None = None
    revision: int = 0


class State(NamedTuple):
    """The object, None where there is none. Its revision is `revision`, or some later one where not `exact`."""

    content: Content | None
    revision: int
    exact: bool


class StoredObject:
    """`linearizability.Model` of one object."""

    initial = State(None, 0, True)

    def step(self, state: State, action: Action, outcome: Outcome | None) -> Iterable[State]:
        """The states after the action; none where the outcome could not be."""
        content = state.content
        if content is None and action.verb != Verb.CREATE:
            expected, after = Answer.NOT_FOUND, None
        else:
            expected, after = _effect(content, action)
        writes = expected == Answer.DONE and action.verb != Verb.GET
        if outcome is None:
            return [State(after, state.revision, False)] if writes else [state]
        if outcome.answer != expected:
            return []
        if not writes:
            if expected != Answer.DONE:
                return [state]
            known = outcome.revision == state.revision if state.exact else outcome.revision > state.revision
            return [State(content, outcome.revision, True)] if known and outcome.content == content else []
        if action.verb == Verb.DELETE:
            return [State(None, state.revision, False)]
        fine = outcome.content == after and outcome.revision > state.revision
        return [State(after, outcome.revision, True)] if fine else []


def _effect(content: Content | None, action: Action) -> tuple[Answer, Content | None]:
    match action.verb:
        case Verb.CREATE if content is not None:
            return Answer.EXISTS, content
        case Verb.CREATE | Verb.PUT:
            return Answer.DONE, Content(action.word, "")
        case Verb.SWAP if content != action.expected:
            return Answer.CONFLICT, content
        case Verb.SWAP:
            return Answer.DONE, Content(action.word, "")
        case Verb.PATCH:
            assert content is not None
            return Answer.DONE, Content(content.put, action.word)
        case Verb.DELETE:
            return Answer.DONE, None
        case Verb.GET:
            return Answer.DONE, content
