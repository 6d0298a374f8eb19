"""Discovery documents of several servers as one (KEP-4020, peer-aggregated discovery). Pure.

An order that any server gives is kept where no other contradicts it; what no order is known of comes by name. What
this server says of a resource itself goes before what a peer says of it, but for verbs and subresources, which add up.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence

from keelson.api.meta import Object

# (group, version, plural).
Place = tuple[str, str, str]


def resources(groups: Iterable[Object]) -> set[Place]:
    """Every resource that documents (APIGroupDiscovery) tell of. Raises KeyError, TypeError for strange ones."""
    return {
        (_name(group), str(version["version"]), str(row["resource"]))
        for group in groups
        for version in group.get("versions") or ()
        for row in version.get("resources") or ()
    }


def _name(group: Object) -> str:
    return str((group.get("metadata") or {}).get("name") or "")


def merged(own: Sequence[Object], others: Iterable[Sequence[Object]]) -> list[Object]:
    """The groups of this server and of its peers."""
    found = {_name(group): group for group in own}
    orders = [list(found)]
    for groups in others:
        orders.append([_name(group) for group in groups])
        for group in groups:
            name = _name(group)
            found[name] = _merged_group(found[name], group) if name in found else group
    return [found[name] for name in order(orders)]


def _merged_group(one: Object, other: Object) -> Object:
    versions = {each["version"]: each for each in one.get("versions") or ()}
    orders = [list(versions), [each["version"] for each in other.get("versions") or ()]]
    for each in other.get("versions") or ():
        held = versions.get(each["version"])
        versions[each["version"]] = each if held is None else _merged_version(held, each)
    return {**one, "versions": [versions[name] for name in order(orders)]}


def _merged_version(one: Object, other: Object) -> Object:
    rows = {each["resource"]: each for each in one.get("resources") or ()}
    orders = [list(rows), [each["resource"] for each in other.get("resources") or ()]]
    for each in other.get("resources") or ():
        held = rows.get(each["resource"])
        rows[each["resource"]] = each if held is None else _merged_row(held, each)
    return {**one, "resources": [rows[name] for name in order(orders)]}


def _merged_row(one: Object, other: Object) -> Object:
    if one == other:
        return one
    below = {each["subresource"]: each for row in (one, other) for each in row.get("subresources") or ()}
    found = {**one, "verbs": sorted({*(one.get("verbs") or ()), *(other.get("verbs") or ())})}
    if below:
        found["subresources"] = [below[name] for name in sorted(below)]
    return found


def order(lists: Iterable[Sequence[str]]) -> list[str]:
    """All names, each before those that follow it in any list; by name where lists contradict each other."""
    followers: dict[str, set[str]] = {}
    before: dict[str, int] = {}
    known = [list(names) for names in lists]
    for names in known:
        for name in names:
            followers.setdefault(name, set())
            before.setdefault(name, 0)
        for first, second in itertools.pairwise(names):
            if second not in followers[first]:
                followers[first].add(second)
                before[second] += 1
    for names in known:
        if len(names) == len(followers):
            return names
    ready = [name for name, count in before.items() if not count]
    heapq.heapify(ready)
    found: list[str] = []
    while ready:
        name = heapq.heappop(ready)
        found.append(name)
        for follower in followers[name]:
            before[follower] -= 1
            if not before[follower]:
                heapq.heappush(ready, follower)
    return found if len(found) == len(followers) else sorted(followers)
