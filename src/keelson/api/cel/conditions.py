"""Match conditions: whether a webhook or a policy is for a request at all (KEP-3716)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .evaluations import Budget, ExhaustedError
from .programs import Program


class Condition(NamedTuple):
    """One match condition; a text in place of its program says why it does not compile."""

    name: str
    program: Program | str


class Verdict(NamedTuple):
    """Whether all conditions hold; `error` says why that could not be found out."""

    matches: bool
    error: str = ""
    errors: int = 0


def holds(conditions: Sequence[Condition], variables: Mapping[str, Any], budget: Budget, *, closed: bool) -> Verdict:
    """Whether every condition is true. One that is false settles it; of errors `closed` makes an error.

    Raises evaluations.CostlyError.
    """
    troubles: list[str] = []
    try:
        for condition in conditions:
            result = budget.run(condition.program, variables)
            if result.error:
                troubles.append(result.error)
            elif result.value is False:
                return Verdict(False, errors=len(troubles))
    except ExhaustedError as error:
        return Verdict(False, str(error) if closed else "")
    if not troubles:
        return Verdict(True)
    message = troubles[0] if len(troubles) == 1 else f"[{', '.join(troubles)}]"
    return Verdict(False, message if closed else "", len(troubles))
