"""A table as data, and the nft commands that turn one state of it into another.

A `Ruleset` holds what the daemon wants; `difference` writes only what changed, in an order that nft accepts inside of
one transaction: new chains and sets first (rules and verdicts refer to them), then rules and elements, then removals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

TABLE = "kube-proxy"

# (map or set, key): value of the map, "" for a set.
Element = tuple[str, str]


@dataclass(slots=True)
class Ruleset:
    """One table. `chains` maps a name to its rules, `sets` a name to its declaration ("map"/"set", body).

    Hooks of base chains are in `hooks`. Invariant: every chain and set that a rule or element names is in the ruleset.
    """

    family: str
    hooks: dict[str, str] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sets: dict[str, tuple[str, str]] = field(default_factory=dict)
    elements: dict[Element, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one Service port adds to a table."""

    chains: Mapping[str, tuple[str, ...]]
    sets: Mapping[str, tuple[str, str]]
    elements: Mapping[Element, str]


def compose(skeleton: Ruleset, fragments: Iterable[Fragment]) -> Ruleset:
    """The skeleton with all fragments; of two that claim one element the first keeps it."""
    result = Ruleset(
        skeleton.family, dict(skeleton.hooks), dict(skeleton.chains), dict(skeleton.sets), dict(skeleton.elements)
    )
    for fragment in fragments:
        result.chains.update(fragment.chains)
        result.sets.update(fragment.sets)
        for element, value in fragment.elements.items():
            result.elements.setdefault(element, value)
    return result


def difference(old: Ruleset | None, new: Ruleset) -> str:
    """The commands that turn `old` into `new`, "" where they are equal; without `old` the table is made anew."""
    table = f"{new.family} {TABLE}"
    lines: list[str] = []
    if old is None:
        # Deleting and adding in one transaction: no packet ever meets a host without the table.
        lines += [f"add table {table}", f"delete table {table}", f'add table {table} {{ comment "Service rules"; }}']
        old = Ruleset(new.family)
    lines += _additions(table, old, new)
    stale = [e for e, value in old.elements.items() if e not in new.elements or new.elements[e] != value]
    lines += _elements("delete", table, ((e, old.elements[e]) for e in stale if e[0] in new.sets))
    for name, rules in new.chains.items():
        if old.chains.get(name) != rules:
            if name in old.chains:
                lines.append(f"flush chain {table} {name}")
            lines += [f"add rule {table} {name} {rule}" for rule in rules]
    fresh = ((e, value) for e, value in new.elements.items() if e not in old.elements or old.elements[e] != value)
    lines += _elements("add", table, fresh)
    gone = [name for name in old.chains if name not in new.chains]
    # Doomed chains may refer to each other: all are emptied before the first is deleted.
    lines += [f"flush chain {table} {name}" for name in gone]
    lines += [f"delete chain {table} {name}" for name in gone]
    lines += [f"delete {old.sets[name][0]} {table} {name}" for name in old.sets if name not in new.sets]
    return "\n".join(lines) + "\n" if lines else ""


def _additions(table: str, old: Ruleset, new: Ruleset) -> list[str]:
    lines: list[str] = []
    for name, (kind, body) in new.sets.items():
        if name not in old.sets:
            lines.append(f"add {kind} {table} {name} {{ {body} }}")
    for name in new.chains:
        if name not in old.chains:
            hook = f" {{ {new.hooks[name]} }}" if name in new.hooks else ""
            lines.append(f"add chain {table} {name}{hook}")
    return lines


def _elements(action: str, table: str, elements: Iterable[tuple[Element, str]]) -> list[str]:
    """One command a set and up to 500 elements, so that a large table is not one line a Service."""
    by_set: dict[str, list[str]] = {}
    for (name, key), value in elements:
        by_set.setdefault(name, []).append(f"{key} : {value}" if value else key)
    return [
        f"{action} element {table} {name} {{ {', '.join(keys[start : start + 500])} }}"
        for name, keys in by_set.items()
        for start in range(0, len(keys), 500)
    ]
