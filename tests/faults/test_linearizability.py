"""The checker itself: it must refuse bad histories as surely as it accepts good ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.faults.linearizability import Operation, check
from tests.faults.stored_objects import Action, Answer, Content, Outcome, State, StoredObject, Verb

Step = Operation[Action, Outcome]


def get(called: float, returned: float, word: str | None, revision: int = 0, patched: str = "") -> Step:
    seen = Outcome(Answer.NOT_FOUND) if word is None else Outcome(Answer.DONE, Content(word, patched), revision or 1)
    return Operation(0, Action(Verb.GET), called, returned, seen)


def create(called: float, returned: float, word: str, revision: int = 1) -> Step:
    done = Outcome(Answer.DONE, Content(word, ""), revision)
    return Operation(0, Action(Verb.CREATE, word), called, returned, done if revision else None)


def put(called: float, returned: float, word: str, revision: int) -> Step:
    done = Outcome(Answer.DONE, Content(word, ""), revision)
    return Operation(0, Action(Verb.PUT, word), called, returned, done if revision else None)


def patch(called: float, returned: float, word: str, seen: str, revision: int) -> Step:
    done = Outcome(Answer.DONE, Content(seen, word), revision)
    return Operation(0, Action(Verb.PATCH, word), called, returned, done)


def swap(
    called: float, returned: float, word: str, expected: str, answer: Answer, revision: int = 0, insists: int = 1
) -> Step:
    seen = Content(word, "") if answer == Answer.DONE else None
    action = Action(Verb.SWAP, word, Content(expected, ""), insists)
    return Operation(0, action, called, returned, Outcome(answer, seen, revision))


def repeat(called: float, returned: float, word: str, revision: int) -> Step:
    action = Action(Verb.REPEAT, "", Content(word, ""), 1)
    return Operation(0, action, called, returned, Outcome(Answer.DONE, Content(word, ""), revision))


def delete(called: float, returned: float) -> Step:
    return Operation(0, Action(Verb.DELETE), called, returned, Outcome(Answer.DONE))


GOOD: dict[str, list[Step]] = {
    "nothing": [],
    "one after the other": [create(0, 1, "a"), get(2, 3, "a"), put(4, 5, "b", 2), get(6, 7, "b", 2)],
    "a read beside a write sees either": [create(0, 1, "a"), put(2, 9, "b", 2), get(3, 4, "a"), get(5, 6, "b", 2)],
    "writes beside each other in either order": [
        create(0, 1, "a"),
        put(2, 9, "b", 3),
        put(2, 9, "c", 2),
        get(10, 11, "b", 3),
    ],
    "an unknown write that happened late": [
        create(0, 1, "a"),
        put(2, 3, "b", 0),
        get(4, 5, "a"),
        get(6, 7, "b", 2),
    ],
    "an unknown write that never happened": [create(0, 1, "a"), put(2, 3, "b", 0), get(4, 5, "a")],
    "an unknown creation explains a conflict": [
        create(0, 1, "a", 0),
        Operation(1, Action(Verb.CREATE, "b"), 2, 3, Outcome(Answer.EXISTS)),
    ],
    "one of two swaps loses": [
        create(0, 1, "a"),
        swap(2, 5, "b", "a", Answer.DONE, 2),
        swap(2, 5, "c", "a", Answer.CONFLICT),
    ],
    "a put of what is there": [create(0, 1, "a"), repeat(2, 3, "a", 1), get(4, 5, "a")],
    "a put of what was there": [create(0, 1, "a"), put(2, 3, "b", 2), repeat(4, 5, "a", 3), get(6, 7, "a", 3)],
    "a swap of what is as it was, and is not the same": [
        create(0, 1, "a"),
        put(2, 3, "b", 2),
        repeat(4, 5, "a", 3),
        swap(6, 7, "c", "a", Answer.CONFLICT),
    ],
    "made again after a deletion": [create(0, 1, "a"), delete(2, 3), get(4, 5, None), create(6, 7, "b", 4)],
}

BAD: dict[str, list[Step]] = {
    "a stale read": [create(0, 1, "a"), put(2, 3, "b", 2), get(4, 5, "a")],
    "a lost write": [create(0, 1, "a"), get(2, 3, None)],
    "a write from nowhere": [create(0, 1, "a"), get(2, 3, "b")],
    "reads that go back": [create(0, 1, "a"), put(2, 20, "b", 2), get(3, 4, "b", 2), get(5, 6, "a")],
    "a lost update": [
        create(0, 1, "a"),
        swap(2, 5, "b", "a", Answer.DONE, 2),
        swap(2, 5, "c", "a", Answer.DONE, 3),
    ],
    "a patch of an old object": [
        create(0, 1, "a"),
        put(2, 3, "b", 2),
        patch(4, 5, "p", "a", 3),
    ],
    "an unknown write that came and went": [
        create(0, 1, "a"),
        put(2, 3, "b", 0),
        get(4, 5, "b", 2),
        get(6, 7, "a"),
    ],
    "an unknown write before its call": [create(0, 1, "a"), get(2, 3, "b", 2), put(4, 5, "b", 0)],
    "a put that is taken for done": [create(0, 1, "a"), put(2, 3, "b", 2), repeat(4, 5, "a", 1)],
    "a swap of an old revision": [
        create(0, 1, "a"),
        put(2, 3, "b", 2),
        repeat(4, 5, "a", 3),
        swap(6, 7, "c", "a", Answer.DONE, 4),
    ],
    "a conflict without a cause": [create(0, 1, "a"), swap(2, 3, "b", "a", Answer.CONFLICT)],
    "alive after its deletion": [create(0, 1, "a"), delete(2, 3), get(4, 5, "a")],
    "two creations": [create(0, 1, "a"), create(2, 3, "b", 2)],
    "a revision that goes back": [create(0, 1, "a", 5), put(2, 3, "b", 4)],
    "a write that did nothing": [create(0, 1, "a", 5), put(2, 3, "b", 5)],
    "a read at another revision": [create(0, 1, "a", 5), get(2, 3, "a", 6)],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_good_histories_are_accepted(history: list[Step]) -> None:
    verdict = check(history, StoredObject())
    assert verdict.linearizable, verdict


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_bad_histories_are_refused(history: list[Step]) -> None:
    verdict = check(history, StoredObject())
    assert not verdict.linearizable
    assert verdict.stuck
    assert "none may follow" in str(verdict)


def test_an_answer_before_its_question_is_no_history() -> None:
    with pytest.raises(ValueError, match="returned before it was called"):
        get(2, 1, None)


def by_brute_force(history: Sequence[Step]) -> bool:
    """The definition itself: some order of some of the operations, all known ones among them."""
    unknown = [step for step in history if step.outcome is None]
    known = [step for step in history if step.outcome is not None]
    model = StoredObject()
    for size in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, size):
            for order in itertools.permutations([*known, *chosen]):
                if any(later.deadline < earlier.called for earlier, later in itertools.combinations(order, 2)):
                    continue
                states: set[State] = {model.initial}
                for step in order:
                    states = {after for state in states for after in model.step(state, step.action, step.outcome)}
                if states:
                    return True
    return False


_WORDS = some.sampled_from("ab")
_CONTENTS = some.one_of(some.none(), some.builds(Content, _WORDS, some.sampled_from(["", "a"])))
_ACTIONS = some.builds(Action, some.sampled_from(Verb), _WORDS, _CONTENTS, some.integers(0, 3))
_OUTCOMES = some.one_of(some.none(), some.builds(Outcome, some.sampled_from(Answer), _CONTENTS, some.integers(0, 4)))


@some.composite
def anything(draw: some.DrawFn) -> list[Step]:
    """Histories that hardly ever make sense."""
    steps = []
    for _ in range(draw(some.integers(0, 4))):
        called = draw(some.integers(0, 8))
        returned = called + draw(some.integers(0, 6))
        steps.append(Operation(0, draw(_ACTIONS), called, returned, draw(_OUTCOMES)))
    return steps


@some.composite
def nearly_right(draw: some.DrawFn) -> list[Step]:
    """Histories of a register that works, of which one read may be replaced by that of another moment."""
    content: Content | None = None
    seen: list[tuple[Content | None, int]] = [(None, 0)]
    steps: list[Step] = []
    revision = 0
    for moment in range(draw(some.integers(1, 5))):
        called, returned = moment * 10 - draw(some.integers(0, 15)), moment * 10 + draw(some.integers(0, 15))
        verb = draw(some.sampled_from([Verb.GET, Verb.GET, Verb.CREATE, Verb.PUT, Verb.PATCH, Verb.DELETE]))
        word = f"w{moment}"
        state = State(content, revision, True)
        outcome = Outcome(Answer.NOT_FOUND)
        if content is None and verb == Verb.CREATE:
            revision += 1
            content = Content(word, "")
            outcome = Outcome(Answer.DONE, content, revision)
        elif content is not None and verb == Verb.CREATE:
            outcome = Outcome(Answer.EXISTS)
        elif content is not None and verb == Verb.GET:
            outcome = Outcome(Answer.DONE, content, revision)
        elif content is not None and verb == Verb.DELETE:
            content, outcome = None, Outcome(Answer.DONE)
        elif content is not None:
            revision += 1
            content = Content(word, "") if verb == Verb.PUT else Content(content.put, word)
            outcome = Outcome(Answer.DONE, content, revision)
        assert list(StoredObject().step(state, Action(verb, word), outcome))
        if verb == Verb.GET and draw(some.booleans()):
            then, at = draw(some.sampled_from(seen))
            outcome = Outcome(Answer.NOT_FOUND) if then is None else Outcome(Answer.DONE, then, at)
        seen.append((content, revision))
        steps.append(Operation(0, Action(verb, word), called, returned, outcome if draw(some.booleans()) else None))
    return steps


@settings(max_examples=200, deadline=None, derandomize=True)
@given(some.one_of(nearly_right(), anything()))
def test_it_agrees_with_the_definition(history: list[Step]) -> None:
    assert check(history, StoredObject()).linearizable == by_brute_force(history)


def test_long_histories_are_judged_in_reasonable_time() -> None:
    """Eight clients at once, a thousand operations: without a memory this would be 8 to the power of 125."""
    steps = []
    for turn in range(125):
        start = turn * 10.0
        before = Content(f"{turn - 1}", "") if turn else None
        made = put(start, start + 9, f"{turn}", turn + 1) if turn else create(start, start + 9, "0")
        steps.append(made)
        for client in range(7):
            sees_old = client % 2
            content, revision = (before, turn) if sees_old else (Content(f"{turn}", ""), turn + 1)
            seen = Outcome(Answer.NOT_FOUND) if content is None else Outcome(Answer.DONE, content, revision)
            steps.append(Operation(client, Action(Verb.GET), start, start + 9, seen))
    assert check(steps, StoredObject()).linearizable
    last = Operation(9, Action(Verb.GET), 1250.0, 1251.0, Outcome(Answer.DONE, Content("3", ""), 4))
    assert not check([*steps, last], StoredObject()).linearizable
    assert math.isinf(put(0, 1, "x", 0).deadline)
