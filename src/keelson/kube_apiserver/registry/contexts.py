"""Who asks, for what, and how: what travels with a request through admission and storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from keelson.kube_apiserver.serving.request_infos import RequestInfo

_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
_NO_EXTRA: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class User:
    """Who asks (user.Info): the name, uid, groups and extra that an authenticator found."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_EXTRA)

    def __hash__(self) -> int:
        return hash((self.name, self.groups, self.uid))

    def described(self) -> dict[str, Any]:
        """authentication.k8s.io/v1 UserInfo."""
        shown: dict[str, Any] = {"username": self.name}
        if self.uid:
            shown["uid"] = self.uid
        if self.groups:
            shown["groups"] = list(self.groups)
        if self.extra:
            shown["extra"] = {key: list(values) for key, values in self.extra.items()}
        return shown


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
# The server itself, where it writes through its own road.
LOOPBACK = User("system:apiserver", ("system:authenticated", "system:masters"))


@dataclass(slots=True)
class Context:
    """One request. `warnings` are shown to the client; `now` is the request's one moment."""

    user: User
    info: RequestInfo
    now: datetime
    manager: str = "unknown"
    dry_run: bool = False
    field_validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)
    # The warning that the resource itself gives cause for, whatever the body is.
    deprecation: str = ""
    # The options that the request states in its query, as an object.
    stated: Mapping[str, Any] = field(default_factory=lambda: _NO_OPTIONS)
    # What admission has to say to the audit log, by qualified key; a key is said once.
    annotations: dict[str, str] = field(default_factory=dict)
    # Seconds spent waiting for webhooks.
    waited: float = 0.0
    # Notes that something is done, for the log and trace of a request that takes long.
    done: Callable[[str], None] = lambda _what: None
    # What was allocated for the write under way, to be given back where it does not happen.
    taken: list[Any] = field(default_factory=list)
