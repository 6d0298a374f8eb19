"""Replays the stories of strategic.yaml and apply.yaml against the patch functions and the real schemas."""

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelson.api import errors, meta, schemas
from keelson.api.patches import field_sets, managed_fields, server_side_apply, strategic

HERE = Path(__file__).parent
START = datetime(2026, 1, 1, tzinfo=UTC)


def _cases(name: str) -> list[Any]:
    cases = yaml.safe_load((HERE / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in cases]


def _kind(text: str) -> schemas.Kind:
    version, _, kind = text.rpartition("/")
    return schemas.Kind(version, kind)


@pytest.mark.parametrize("case", _cases("strategic.yaml"))
def test_strategic(case: dict[str, Any]) -> None:
    schema = schemas.of(_kind(case["kind"]))
    live, patch = copy.deepcopy(case["live"]), copy.deepcopy(case["patch"])
    if "error" in case:
        code, part = case["error"]
        with pytest.raises(errors.StatusError) as caught:
            strategic.apply(schema, live, patch)
        assert caught.value.code == code
        assert part in caught.value.message
    else:
        assert strategic.apply(schema, live, patch) == case["result"]
    assert (live, patch) == (case["live"], case["patch"])


def _owners(obj: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for owner in managed_fields.owners(meta.metadata(obj).get("managedFields") or []):
        name = f"{owner.manager} {owner.operation}" + (f"/{owner.subresource}" if owner.subresource else "")
        found[name] = [field_sets.text(path) for path in field_sets.paths(owner.fields)]
    return found


@pytest.mark.parametrize("case", _cases("apply.yaml"))
def test_apply(case: dict[str, Any]) -> None:
    kind = _kind(case["kind"])
    schema = schemas.of(kind)
    live: dict[str, Any] | None = None
    for number, step in enumerate(case["steps"]):
        now = START + timedelta(hours=number)
        before = copy.deepcopy(live)
        after = _step(schema, kind.api_version, live, step, now)
        assert live == before, "a step changed its argument"
        if after is None:
            continue
        if step.get("unchanged"):
            assert after == live
        live = after
        if "result" in step:
            shown = copy.deepcopy(live)
            shown["metadata"].pop("managedFields", None)
            assert shown == step["result"]
        if "owners" in step:
            assert _owners(live) == step["owners"]


def _step(
    schema: schemas.Schema, version: str, live: dict[str, Any] | None, step: dict[str, Any], now: datetime
) -> dict[str, Any] | None:
    """The object after one step, or None where the step was refused as it says."""
    if "stored" in step:
        stored: dict[str, Any] = step["stored"]
        return stored
    if "defaulted" in step:
        assert live is not None
        return {**live, **step["defaulted"]}
    subresource = step.get("subresource", "")
    if "update" in step:
        new = copy.deepcopy(step["update"])
        entries = managed_fields.update(
            schema, live, new, manager=step["by"], api_version=version, now=now, subresource=subresource
        )
        managed_fields.set_on(new, entries)
        return dict(new)

    def apply() -> dict[str, Any]:
        return server_side_apply.apply(
            schema,
            live,
            step["apply"],
            manager=step["by"],
            api_version=version,
            now=now,
            force=step.get("force", False),
            subresource=subresource,
            reset=managed_fields.reset_fields(*step.get("reset", ())),
        )

    for key, code in (("conflict", 409), ("refused", 400)):
        if key in step:
            with pytest.raises(errors.StatusError) as caught:
                apply()
            assert (caught.value.code, caught.value.message) == (code, step[key])
            return None
    return apply()
