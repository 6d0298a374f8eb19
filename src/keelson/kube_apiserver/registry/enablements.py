"""Which of the built-in resources are served: --runtime-config, with upstream's keys and their precedence. Pure.

`api/all`, `api/ga`, `api/beta` and `api/alpha` choose versions by their form, `GROUP/VERSION` one version and
`GROUP/VERSION/RESOURCE` one resource of it; what is narrower wins. `v1` stands for the core group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from keelson.api.resources import Resource

_FORMS: dict[str, Callable[[str], object]] = {
    "api/all": lambda _version: True,
    "api/ga": re.compile(r"v\d+").fullmatch,
    "api/beta": re.compile(r"v\d+beta\d+").fullmatch,
    "api/alpha": re.compile(r"v\d+alpha\d+").fullmatch,
}
# Groups of upstream's that have no stable version: configurations name them, and there is nothing to serve of them.
_WITHOUT_STABLE = frozenset({"imagepolicy.k8s.io", "internal.apiserver.k8s.io", "storagemigration.k8s.io"})
_TRUE = frozenset({"", "1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def disabled(config: Mapping[str, str], resources: Collection[Resource]) -> list[Resource]:
    """The resources that a configuration switches off. Raises ValueError for one that makes no sense."""
    if config.get("api/all") == "false" and len(config) == 1:
        raise ValueError("invalid runtime-config with only api/all=false")
    for form in _FORMS:
        if config.get(form, "true") not in ("true", "false"):
            raise ValueError(f"invalid value {form}={config[form]}")
    stated = {_parsed(key, resources): _boolean(key, value) for key, value in config.items() if key not in _FORMS}
    by_form = [(matches, config[form] == "true") for form, matches in _FORMS.items() if form in config]
    return [each for each in resources if not _is_enabled(each, stated, by_form)]


def _is_enabled(
    resource: Resource,
    stated: Mapping[tuple[str, ...], bool],
    by_form: Iterable[tuple[Callable[[str], object], bool]],
) -> bool:
    version = (resource.group, resource.version)
    for key in ((*version, resource.plural), version):
        if key in stated:
            return stated[key]
    enabled = True
    for matches, value in by_form:
        if matches(resource.version):
            enabled = value
    return enabled


def _parsed(key: str, resources: Collection[Resource]) -> tuple[str, ...]:
    """(group, version) or (group, version, plural)."""
    parts = key.split("/")
    if parts[0] == "v1":
        parts = ["", *parts]
    elif parts[0] == "api" and parts[1:2] == ["v1"]:
        parts[0] = ""
    if len(parts) not in (2, 3):
        raise ValueError(f"runtime-config invalid key {key}")
    group, version, *plural = parts
    if group not in _WITHOUT_STABLE:
        versions = {each.version for each in resources if each.group == group}
        if not versions:
            raise ValueError(f"unknown api groups {group}/{version}")
        # Which versions before the stable one there once were does not matter: none of them is served.
        if version not in versions and not (_FORMS["api/beta"](version) or _FORMS["api/alpha"](version)):
            raise ValueError(f"group version {group}/{version} that has not been registered")
    if plural and plural[0] != plural[0].lower():
        raise ValueError(
            f"invalid key {key}: group/version/resource and resource is always lowercase plural, not {plural[0]!r}"
        )
    return (group, version, *plural)


def _boolean(key: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError(f"invalid value of {key}: {value}")
