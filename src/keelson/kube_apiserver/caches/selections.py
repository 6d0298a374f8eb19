"""Which items a list or a watch is about: a namespace, a label selector, a field selector."""

from __future__ import annotations

from dataclasses import dataclass

from keelson.api import field_selectors, selectors

from .items import Indexer, Item

_ANY_LABELS = selectors.Selector()
_ANY_FIELDS = field_selectors.FieldSelector()


@dataclass(frozen=True, slots=True)
class Selection:
    """A conjunction; the empty one selects everything."""

    namespace: str = ""
    labels: selectors.Selector = _ANY_LABELS
    fields: field_selectors.FieldSelector = _ANY_FIELDS

    @property
    def unconditional(self) -> bool:
        """Whether it selects by nothing but the namespace."""
        return self.labels.empty and self.fields.empty

    def matches(self, item: Item, indexer: Indexer) -> bool:
        """Whether the item is selected."""
        if self.namespace and item.namespace != self.namespace:
            return False
        if not self.labels.empty and not self.labels.matches(item.labels):
            return False
        return self.fields.empty or self.fields.matches(indexer.values(item))
