"""A short notation for RBAC rules, because the default policy is a long table."""

from __future__ import annotations

from keelson.api.meta import Object

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
ALL_WRITE = "create update patch delete"


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Object:
    """A rule on resources; words are separated by spaces and "core" is the group without a name."""
    made: Object = {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
    }
    if names:
        made["resourceNames"] = names.split()
    return made


def paths(verbs: str, urls: str) -> Object:
    """A rule on paths that are no resources."""
    return {"verbs": verbs.split(), "nonResourceURLs": urls.split()}


EVENTS = rule("create patch update", "core events.k8s.io", "events")
EVERYTHING = [rule("*", "*", "*"), paths("*", "*")]
