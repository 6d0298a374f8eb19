"""Which requests a webhook or a policy is for: rules, scopes, selectors, and other versions of the same resource. Pure.

The rules are those of admissionregistration.k8s.io/v1 (RuleWithOperations, MatchResources); with matchPolicy Equivalent
a rule that names another version of the resource matches too, and the object is then shown in that version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from keelson.api import selectors
from keelson.api.meta import Object
from keelson.api.resources import Resource
from keelson.api.selectors import Selector, SelectorError

from .chains import CREATE, UPDATE, Attributes

_CONFIGURATION_GROUP = "admissionregistration.k8s.io"
_CONFIGURATIONS = frozenset(
    {
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    }
)


def is_exempt(attributes: Attributes) -> bool:
    """Whether the request is about admission's own configuration, which nothing configured may stand in the way of."""
    resource = attributes.resource
    return resource.group == _CONFIGURATION_GROUP and resource.kind in _CONFIGURATIONS


class Rule(NamedTuple):
    """One rule. A "*" among operations, groups or versions is all of them; `names` empty is every name."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    # (resource, subresource), each "*" or a name; the subresource of a plain resource is "".
    resources: tuple[tuple[str, str], ...]
    scope: str
    names: frozenset[str]

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> Rule:
        """The rule that an object states."""
        resources = []
        for text in stated.get("resources") or ():
            resource, _, subresource = text.partition("/")
            resources.append((resource, subresource))
        return cls(
            frozenset(stated.get("operations") or ()),
            frozenset(stated.get("apiGroups") or ()),
            frozenset(stated.get("apiVersions") or ()),
            tuple(resources),
            stated.get("scope") or "*",
            frozenset(stated.get("resourceNames") or ()),
        )

    def matches(self, attributes: Attributes, resource: Resource) -> bool:
        """Whether the rule is for the request, were it made of `resource`."""
        return (
            self._has(self.operations, attributes.operation)
            and self._has(self.groups, resource.group)
            and self._has(self.versions, resource.version)
            and any(
                first in ("*", resource.plural) and second in ("*", attributes.subresource)
                for first, second in self.resources
            )
            and self._in_scope(attributes, resource)
            and (not self.names or attributes.name in self.names)
        )

    @staticmethod
    def _has(values: frozenset[str], value: str) -> bool:
        return value in values or "*" in values

    def _in_scope(self, attributes: Attributes, resource: Resource) -> bool:
        if self.scope == "*":
            return True
        # Requests for a namespace carry its name as their namespace, and are the cluster's all the same.
        in_namespace = bool(attributes.namespace) and resource.qualified != "namespaces"
        return in_namespace == (self.scope == "Namespaced")


def _selector(stated: Mapping[str, Any] | None) -> Selector:
    # What these fields default to selects everything, and so does what an older server stored without them.
    return selectors.EVERYTHING if stated is None else selectors.from_label_selector(stated)


class Criteria:
    """What a webhook, a policy or a binding matches. Without rules it matches every resource, as bindings may."""

    def __init__(self, stated: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> None:
        self.rules = tuple(Rule.of(each) for each in rules)
        self.excluded = tuple(Rule.of(each) for each in stated.get("excludeResourceRules") or ())
        self.is_exact = stated.get("matchPolicy") == "Exact"
        # Why the selectors can't be used, told to whoever makes a request that they would decide on.
        self.problem = ""
        self.namespaces = self.objects = selectors.EVERYTHING
        try:
            self.namespaces = _selector(stated.get("namespaceSelector"))
            self.objects = _selector(stated.get("objectSelector"))
        except SelectorError as error:
            self.problem = str(error)

    def resource(self, attributes: Attributes, equivalents: Callable[[], Sequence[Resource]]) -> Resource | None:
        """The resource by which the rules match the request, None where they don't.

        `equivalents` gives the other resources of the same objects.
        """
        if self.excluded and self._found(self.excluded, attributes, equivalents) is not None:
            return None
        if not self.rules:
            return attributes.resource
        return self._found(self.rules, attributes, equivalents)

    def _found(
        self, rules: tuple[Rule, ...], attributes: Attributes, equivalents: Callable[[], Sequence[Resource]]
    ) -> Resource | None:
        for rule in rules:
            if rule.matches(attributes, attributes.resource):
                return attributes.resource
        if self.is_exact:
            return None
        others = equivalents()
        if not others:
            return None
        # Earlier rules come first, whichever version they name.
        for rule in rules:
            for other in others:
                if rule.matches(attributes, other):
                    return other
        return None

    def selects_object(self, attributes: Attributes) -> bool:
        """Whether the object, or what it was before, is selected. What has no labels to have is not."""
        if self.objects.empty:
            return True
        return any(
            found is not None and "metadata" in found and self.objects.matches(_labels(found))
            for found in (attributes.object, attributes.old)
        )

    def needs_namespace(self, attributes: Attributes) -> bool:
        """Whether the labels of the request's namespace decide."""
        if self.namespaces.empty:
            return False
        return bool(attributes.namespace) or attributes.resource.qualified == "namespaces"


def _labels(obj: Object) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def own_labels(attributes: Attributes) -> Mapping[str, str] | None:
    """The labels of the namespace that the request itself writes, None where it writes none."""
    if attributes.resource.qualified != "namespaces" or attributes.subresource:
        return None
    if attributes.operation not in (CREATE, UPDATE) or attributes.object is None:
        return None
    return _labels(attributes.object)
