"""Tolerations that cover others: upstream's cases (pkg/util/tolerations)."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import taints

ALL = {"operator": "Exists"}
KEY = {"key": "foo", "operator": "Exists"}
VALUE = {"key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule"}
FOREVER = {"key": "foo", "operator": "Exists", "effect": "NoExecute"}
BRIEFLY = {**FOREVER, "tolerationSeconds": 10}


@pytest.mark.parametrize(
    ("wider", "narrower", "covers"),
    [
        (ALL, VALUE, True),
        (KEY, VALUE, True),
        (VALUE, KEY, False),
        (VALUE, {**VALUE, "operator": ""}, True),
        (VALUE, {**VALUE, "value": "other"}, False),
        (KEY, {"key": "other", "operator": "Exists"}, False),
        (FOREVER, VALUE, False),
        (FOREVER, BRIEFLY, True),
        (BRIEFLY, FOREVER, False),
        (BRIEFLY, {**BRIEFLY, "tolerationSeconds": 5}, True),
    ],
)
def test_a_toleration_covers_what_it_tolerates_all_of(wider: Any, narrower: Any, covers: bool) -> None:
    assert taints.covers(wider, narrower) is covers


def test_merged_tolerations_keep_the_widest_once() -> None:
    assert taints.merged([VALUE, BRIEFLY], [FOREVER, VALUE]) == [VALUE, FOREVER]
    assert taints.merged([VALUE], [ALL, BRIEFLY]) == [ALL]
