"""One webhook as a configuration states it, ready to be matched and called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from keelson.api import meta
from keelson.api.meta import Object
from keelson.kube_apiserver.admission.matching import Criteria

if TYPE_CHECKING:
    from keelson.api.cel.conditions import Condition

_DEFAULT_SECONDS = 10
_DRY = ("None", "NoneOnDryRun")


@dataclass(frozen=True, slots=True)
class Hook:
    """`identity` tells webhooks apart across configurations; `closed` says that a failing call refuses the request."""

    name: str
    configuration: str
    identity: str
    client: Mapping[str, Any]
    criteria: Criteria
    conditions: tuple[Condition, ...]
    closed: bool
    seconds: int
    versions: tuple[str, ...]
    runs_dry: bool
    is_reinvoked: bool


@cache
def _environment() -> Any:
    # Whoever has no conditions must not pay for the language.
    from keelson.api.cel.environments import Environment

    return Environment()


def _condition(stated: Mapping[str, Any]) -> Condition:
    from keelson.api.cel.conditions import Condition
    from keelson.api.cel.environments import ExpressionError

    try:
        return Condition(stated["name"], _environment().condition(stated["expression"]))
    except ExpressionError as error:
        return Condition(stated["name"], str(error))


def of(configuration: Object) -> list[Hook]:
    """The webhooks of a configuration, in its order."""
    found = []
    owner = meta.name(configuration)
    seen: dict[str, int] = {}
    for stated in configuration.get("webhooks") or ():
        name = stated["name"]
        number = seen[name] = seen.get(name, -1) + 1
        found.append(
            Hook(
                name=name,
                configuration=owner,
                identity=f"{owner}/{name}/{number}",
                client=stated.get("clientConfig") or {},
                criteria=Criteria(stated, stated.get("rules") or ()),
                conditions=tuple(_condition(each) for each in stated.get("matchConditions") or ()),
                closed=stated.get("failurePolicy") != "Ignore",
                seconds=stated.get("timeoutSeconds") or _DEFAULT_SECONDS,
                versions=tuple(stated.get("admissionReviewVersions") or ()),
                runs_dry=stated.get("sideEffects") in _DRY,
                is_reinvoked=stated.get("reinvocationPolicy") == "IfNeeded",
            )
        )
    return found
