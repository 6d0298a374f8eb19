"""EventRateLimit: who writes events writes no more than so many ("Admission Control in Kubernetes").

Off unless --enable-admission-plugins names it; the limits are the plugin's configuration. A bucket's allowance starts
anew where it was forgotten for others (cacheSize).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from keelson.api.errors import StatusError
from keelson.component_base.configurations import ConfigurationError, Fields

from .chains import CREATE, UPDATE, Attributes
from .configurations import Configurations

_KIND = "Configuration"
_API_VERSIONS = ("eventratelimit.admission.k8s.io/v1alpha1",)
_WHERE = "EventRateLimit"
_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class Limit:
    """So many events a second and `burst` at once, of each key that `kind` says."""

    kind: str
    qps: int
    burst: int
    buckets: int = _BUCKETS


def limits_from(configurations: Configurations) -> list[Limit]:
    """The plugin's configuration. Raises ConfigurationError where there is none or it states no sound limits."""
    document = configurations.of(_WHERE, kind=_KIND, api_versions=_API_VERSIONS)
    if document is None:
        raise ConfigurationError(f"{_WHERE}: --admission-control-config-file must state its limits")
    fields = Fields(_WHERE, document)
    stated = fields.get("limits", list, [])
    fields.close()
    if not stated:
        raise ConfigurationError(f"{_WHERE}.limits: must not be empty")
    return [_limit(f"{_WHERE}.limits[{index}]", each) for index, each in enumerate(stated)]


def _limit(where: str, stated: object) -> Limit:
    if not isinstance(stated, dict):
        raise ConfigurationError(f"{where}: want a mapping")
    fields = Fields(where, stated)
    kind = fields.get("type", str, "")
    qps, burst = fields.get("qps", int, 0), fields.get("burst", int, 0)
    buckets = fields.get("cacheSize", int, 0)
    fields.close()
    if kind not in _KEYS:
        raise ConfigurationError(f"{where}.type: must be one of {', '.join(sorted(_KEYS))}")
    for name, number in (("qps", qps), ("burst", burst)):
        if number <= 0:
            raise ConfigurationError(f"{where}.{name}: must be positive")
    if kind != "Server" and buckets < 0:
        raise ConfigurationError(f"{where}.cacheSize: must not be negative")
    return Limit(kind, qps, burst, max(buckets, 0) or _BUCKETS)


def _source_and_object(attributes: Attributes) -> str:
    event = attributes.object or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    regarding = event.get("involvedObject") or event.get("regarding") or {}
    writer = [source.get("component") or event.get("reportingController"), source.get("host")]
    about = [regarding.get(field) for field in ("kind", "namespace", "name", "uid", "apiVersion")]
    return "\0".join(str(part or "") for part in (*writer, *about))


_KEYS: dict[str, Callable[[Attributes], str]] = {
    "Server": lambda _: "",
    "Namespace": lambda attributes: attributes.namespace,
    "User": lambda attributes: attributes.context.user.name,
    "SourceAndObject": _source_and_object,
}


class _Buckets:
    """One limit's token buckets, the latest used ones."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        # By key: what was left, and when.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def accepts(self, key: str, now: float) -> bool:
        left, then = self._left.pop(key, (float(self.limit.burst), now))
        left = min(float(self.limit.burst), left + (now - then) * self.limit.qps)
        accepted = left >= 1
        self._left[key] = (left - 1 if accepted else left, now)
        while len(self._left) > self.limit.buckets:
            self._left.popitem(last=False)
        return accepted


class EventRateLimit:
    """The plugin. Events of either group are the same events, so both are counted together."""

    name = _WHERE

    def __init__(self, limits: list[Limit], clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = [_Buckets(limit) for limit in limits]
        self._clock = clock

    async def validate(self, attributes: Attributes) -> None:
        """429 beyond any of the limits; a dry run neither counts nor is refused."""
        resource = attributes.resource
        if attributes.operation not in (CREATE, UPDATE) or resource.plural != "events" or attributes.context.dry_run:
            return
        if resource.group not in ("", "events.k8s.io"):
            return
        now = self._clock()
        reached = []
        for buckets in self._buckets:
            key = _KEYS[buckets.limit.kind](attributes)
            if not buckets.accepts(key, now):
                shown = key.replace("\0", "")
                reached.append(f"limit reached on type {buckets.limit.kind} for key {shown}")
        if reached:
            why = reached[0] if len(reached) == 1 else f"[{', '.join(reached)}]"
            raise StatusError(429, "TooManyRequests", f"Too many requests: {why}")
