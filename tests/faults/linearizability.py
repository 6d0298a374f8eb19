"""A checker of histories: is there an order of the operations, each between call and answer, that explains all?

This is the search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the memory of Lowe ("Testing
for linearizability", 2017): after a set of operations, in one state, the rest can be ordered or it cannot, whatever the
order of that set was, so each pair is tried once. Histories are checked key by key, which linearizability allows
(Herlihy and Wing, 1990, locality).

An operation whose outcome nobody learned (a timeout, a cut connection) may take effect at any moment after its call, or
never: it is ordered where that helps, and left out otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

State = TypeVar("State", bound=Hashable)
Action = TypeVar("Action", contravariant=True)
Outcome = TypeVar("Outcome", contravariant=True)
AnyAction = TypeVar("AnyAction")
AnyOutcome = TypeVar("AnyOutcome")


@dataclass(frozen=True, slots=True)
class Operation(Generic[AnyAction, AnyOutcome]):
    """What one client did: `called` and `returned` are moments of one clock; an `outcome` of None was never learned."""

    client: int
    action: AnyAction
    called: float
    returned: float
    outcome: AnyOutcome | None

    def __post_init__(self) -> None:
        if self.returned < self.called:
            raise ValueError(f"{self} returned before it was called")

    @property
    def deadline(self) -> float:
        """The last moment at which it can have taken effect."""
        return math.inf if self.outcome is None else self.returned


class Model(Protocol[State, Action, Outcome]):
    """The object as it would be with one client at a time."""

    @property
    def initial(self) -> State:
        """How it is before the first operation."""
        ...

    def step(self, state: State, action: Action, outcome: Outcome | None) -> Iterable[State]:
        """The states that the action may lead to with this outcome; none where the outcome contradicts the state.

        With an outcome of None: the states that it leads to if it takes effect.
        """
        ...


@dataclass(frozen=True)
class Verdict(Generic[AnyAction, AnyOutcome]):
    """Whether a history is linearizable: `order` is the order found, or the longest that could be found.

    `stuck` are the operations of which none could come next after the longest order.
    """

    linearizable: bool
    order: Sequence[Operation[AnyAction, AnyOutcome]]
    stuck: Sequence[Operation[AnyAction, AnyOutcome]]

    def __str__(self) -> str:
        if self.linearizable:
            return f"linearizable ({len(self.order)} operations)"
        tail = "\n".join(f"  {operation}" for operation in self.order[-5:])
        none = "\n".join(f"  {operation}" for operation in self.stuck)
        return f"not linearizable: after {len(self.order)} operations, at last\n{tail}\nnone may follow of\n{none}"


def check(
    history: Iterable[Operation[AnyAction, AnyOutcome]], model: Model[State, AnyAction, AnyOutcome]
) -> Verdict[AnyAction, AnyOutcome]:
    """Judge the history of one object."""
    operations = sorted(history, key=lambda operation: operation.called)
    # Sets of operations are the bits of an integer, in the order of their calls.
    required = sum(1 << index for index, operation in enumerate(operations) if operation.outcome is not None)
    start = (0, model.initial)
    came_from: dict[tuple[int, State], tuple[tuple[int, State], int] | None] = {start: None}
    stack = [start]
    furthest, most = start, 0
    while stack:
        node = stack.pop()
        done, state = node
        if done & required == required:
            return Verdict(True, _order(operations, came_from, node), ())
        if (count := done.bit_count()) > most:
            furthest, most = node, count
        for index in reversed(_next(operations, done)):
            operation = operations[index]
            for following in model.step(state, operation.action, operation.outcome):
                if operation.outcome is None and following == state:
                    # To take effect without a trace is the same as never.
                    continue
                successor = (done | 1 << index, following)
                if successor not in came_from:
                    came_from[successor] = (node, index)
                    stack.append(successor)
    stuck = [operations[index] for index in _next(operations, furthest[0])]
    return Verdict(False, _order(operations, came_from, furthest), stuck)


def _next(operations: Sequence[Operation[AnyAction, AnyOutcome]], done: int) -> list[int]:
    """Which may be ordered next: those that were called before any other of the rest had returned."""
    found: list[int] = []
    horizon = math.inf
    # The lowest bit that is not set.
    for index in range((~done & (done + 1)).bit_length() - 1, len(operations)):
        if done >> index & 1:
            continue
        operation = operations[index]
        if operation.called > horizon:
            break
        found.append(index)
        horizon = min(horizon, operation.deadline)
    return found


def _order(
    operations: Sequence[Operation[AnyAction, AnyOutcome]],
    came_from: dict[tuple[int, State], tuple[tuple[int, State], int] | None],
    node: tuple[int, State],
) -> list[Operation[AnyAction, AnyOutcome]]:
    found = []
    while (step := came_from[node]) is not None:
        node, index = step
        found.append(operations[index])
    return found[::-1]
