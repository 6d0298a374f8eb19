"""Expressions run one after the other on one budget, as admission runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .environments import CALL_BUDGET
from .programs import Program
from .values import BudgetError, EvalError

EXHAUSTED = "validation failed due to running out of cost budget, no further validation rules will be run"


class ExhaustedError(Exception):
    """The budget of all expressions together is spent."""


class CostlyError(Exception):
    """More was spent than a trial may; nothing was decided. Run it again elsewhere, without a trial's bound."""


class Result(NamedTuple):
    """What an expression gave, or why it gave nothing."""

    value: Any
    error: str = ""


class Budget:
    """What all expressions of one decision may spend. With `trial` it gives up early, by CostlyError.

    Expressions have no effects, so that a decision may be tried where others wait, cheaply, and taken elsewhere where
    it turns out to be dear.
    """

    def __init__(self, total: int, trial: int | None = None) -> None:
        self._left = total
        self._trial = trial

    def run(self, program: Program | str, variables: Mapping[str, Any]) -> Result:
        """Evaluate; a text in place of a program says why it does not compile.

        Raises ExhaustedError, CostlyError.
        """
        if isinstance(program, str):
            return Result(None, f"compilation error: {program}")
        most = min(CALL_BUDGET, self._left)
        trying = self._trial is not None and self._trial < most
        if trying and self._trial is not None:
            most = self._trial
        try:
            value, cost = program.run(variables, budget=most)
        except EvalError as error:
            self._spent(error.cost)
            return Result(None, f"expression '{program.source}' resulted in error: {error}")
        except BudgetError as error:
            if trying:
                raise CostlyError from error
            if self._left <= CALL_BUDGET:
                raise ExhaustedError(EXHAUSTED) from error
            self._left -= CALL_BUDGET
            return Result(None, f"expression '{program.source}' resulted in error: {error}")
        self._spent(cost)
        return Result(value)

    def _spent(self, cost: int) -> None:
        self._left -= cost
        if self._trial is not None:
            self._trial -= cost
