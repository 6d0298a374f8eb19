"""The sequential model of one API object: what each verb would answer if requests came one at a time.

Content is two words: a PUT writes both, a PATCH only the second, so that a patch that is computed from an old object
shows. Every write carries words of its own but a REPEAT, which puts what its client saw last: where that still is the
content nothing is written, and the revision stays. Every other write raises it.
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
    REPEAT = "repeat"
    PATCH = "patch"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Action:
    """A request. `word` is what it writes; `seen` is what a SWAP insists on, by its revision, or a REPEAT writes."""

    verb: Verb
    word: str = ""
    seen: Content | None = None
    revision: int = 0


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
        answers = _answers(state, action)
        after = _effect(state.content, action)
        writes = Answer.DONE in answers and after != state.content
        if outcome is None:
            return [State(after, state.revision, False)] if writes else [state]
        if outcome.answer not in answers:
            return []
        if outcome.answer != Answer.DONE:
            return [state]
        if action.verb == Verb.DELETE:
            return [State(None, state.revision, False)]
        if outcome.content != after:
            return []
        if not writes and state.exact:
            return [state] if outcome.revision == state.revision else []
        return [State(after, outcome.revision, True)] if outcome.revision > state.revision else []


def _answers(state: State, action: Action) -> list[Answer]:
    if state.content is None:
        return [Answer.DONE if action.verb == Verb.CREATE else Answer.NOT_FOUND]
    if action.verb == Verb.CREATE:
        return [Answer.EXISTS]
    if action.verb != Verb.SWAP:
        return [Answer.DONE]
    if state.content != action.seen:
        return [Answer.CONFLICT]
    if state.exact:
        return [Answer.DONE if action.revision == state.revision else Answer.CONFLICT]
    return [Answer.DONE, Answer.CONFLICT] if action.revision > state.revision else [Answer.CONFLICT]


def _effect(content: Content | None, action: Action) -> Content | None:
    match action.verb:
        case Verb.CREATE | Verb.PUT | Verb.SWAP:
            return Content(action.word, "")
        case Verb.REPEAT:
            return action.seen
        case Verb.PATCH:
            return Content(content.put if content is not None else "", action.word)
        case Verb.DELETE:
            return None
        case Verb.GET:
            return content
