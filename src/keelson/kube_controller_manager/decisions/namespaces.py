"""What a namespace that is being deleted says of itself: upstream's conditions, in its words (core/v1, Namespace)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from keelson.api import meta
from keelson.api.meta import Object

# Per condition: its reason where there is something to complain of, and reason and message where there is nothing.
_REASONS = {
    "NamespaceDeletionDiscoveryFailure": (
        "DiscoveryFailed",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "GroupVersionParsingFailed",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeletionFailed",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("SomeResourcesRemain", "ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "SomeFinalizersRemain",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


@dataclass(slots=True)
class Round:
    """What one round of emptying a namespace met.

    `remaining` counts objects by resource (`plural.group`), `finalizers` objects by finalizer; `failed_groups` are
    those whose discovery failed, `errors` what deleting complained of.
    """

    remaining: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    failed_groups: Sequence[str] = ()
    errors: list[str] = field(default_factory=list)

    @property
    def is_last(self) -> bool:
        """Whether the namespace is empty as far as anybody can tell, and may go."""
        return not (self.remaining or self.failed_groups or self.errors)


def conditions(current: Sequence[Mapping[str, object]], met: Round, now: datetime) -> list[Object]:
    """The namespace's conditions after a round; each is there, and says so where it has nothing to complain of."""
    complaints = _complaints(met)
    found: list[Object] = [dict(condition) for condition in current]
    for kind, (bad, good, well) in _REASONS.items():
        complaint = complaints.get(kind, "")
        found = meta.with_condition(
            found,
            type_=kind,
            status="True" if complaint else "False",
            reason=bad if complaint else good,
            message=complaint or well,
            now=now,
        )
    return found


def _complaints(met: Round) -> dict[str, str]:
    found = {}
    if met.failed_groups:
        groups = ", ".join(met.failed_groups)
        found["NamespaceDeletionDiscoveryFailure"] = (
            f"Discovery failed for some groups, {len(met.failed_groups)} failing: {groups}"
        )
    if met.errors:
        found["NamespaceDeletionContentFailure"] = (
            f"Failed to delete all resource types, {len(met.errors)} remaining: {', '.join(sorted(met.errors))}"
        )
    if met.remaining:
        counts = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(met.remaining.items()))
        found["NamespaceContentRemaining"] = f"Some resources are remaining: {counts}"
    if met.finalizers:
        holders = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(met.finalizers.items()))
        found["NamespaceFinalizersRemaining"] = f"Some content in the namespace has finalizers remaining: {holders}"
    return found
