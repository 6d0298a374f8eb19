"""What a namespace's annotations say of its pods' place: PodNodeSelector and PodTolerationRestriction.

Off unless --enable-admission-plugins names them ("Admission Control in Kubernetes"). Their configurations state what
holds where a namespace says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from keelson.api import errors, meta, pods, taints
from keelson.api.meta import Object
from keelson.api.validation import names
from keelson.component_base.configurations import ConfigurationError, Fields

from .chains import CREATE, UPDATE, Attributes
from .configurations import Configurations
from .lookups import Lookups

_PREFIX = "scheduler.alpha.kubernetes.io"
_NODE_SELECTOR = f"{_PREFIX}/node-selector"
_DEFAULT_TOLERATIONS = f"{_PREFIX}/defaultTolerations"
_ALLOWED_TOLERATIONS = f"{_PREFIX}/tolerationsWhitelist"
_CLUSTER_DEFAULT = "clusterDefaultNodeSelector"
_MEMORY_PRESSURE = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
_TOLERATIONS = ("podtolerationrestriction.admission.k8s.io/v1alpha1",)


def selectors_from(configurations: Configurations) -> dict[str, dict[str, str]]:
    """PodNodeSelector's configuration: the labels that pods of a namespace may select by, and for all namespaces that
    state none those they do, by a name that no namespace has. Raises ConfigurationError.
    """
    fields = Fields("PodNodeSelector", configurations.untyped("PodNodeSelector"))
    stated = fields.get("podNodeSelectorPluginConfig", dict, {})
    fields.close()
    found = {}
    for name, text in stated.items():
        if not isinstance(text, str):
            raise ConfigurationError(f"PodNodeSelector.podNodeSelectorPluginConfig.{name}: want str")
        try:
            found[str(name)] = labels_of(text)
        except ValueError as error:
            raise ConfigurationError(f"PodNodeSelector.podNodeSelectorPluginConfig.{name}: {error}") from error
    return found


def labels_of(text: str) -> dict[str, str]:
    """The labels of "key=value,…"; ValueError where the text is none."""
    found = {}
    for part in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or "=" in value:
            raise ValueError(f"invalid selector: {part}")
        complaint = names.qualified_name(key) or names.label_value(value)
        if complaint:
            raise ValueError(f"invalid selector: {part}: {complaint}")
        found[key] = value
    return found


def _created_pod(attributes: Attributes) -> Object | None:
    return attributes.object if attributes.operation == CREATE and attributes.qualified == "pods" else None


async def _annotations(lookups: Lookups, name: str) -> Mapping[str, str]:
    namespace = await lookups.get("namespaces", "", name)
    if namespace is None:
        raise errors.not_found("namespaces", name)
    return meta.annotations(namespace)


class PodNodeSelector:
    """Pods of a namespace run where its selector says, and ask for nothing that it may not."""

    name = "PodNodeSelector"

    def __init__(self, lookups: Lookups, selectors: Mapping[str, Mapping[str, str]]) -> None:
        self._lookups = lookups
        self._selectors = selectors

    async def _required(self, attributes: Attributes) -> Mapping[str, str]:
        text = (await _annotations(self._lookups, attributes.namespace)).get(_NODE_SELECTOR)
        if text is None:
            return self._selectors.get(_CLUSTER_DEFAULT, {})
        try:
            return labels_of(text)
        except ValueError as error:
            raise errors.forbidden("pods", attributes.name, f"the namespace's {_NODE_SELECTOR}: {error}") from error

    async def mutate(self, attributes: Attributes) -> None:
        """Add the namespace's selector to the pod's own; 403 where they contradict each other."""
        pod = _created_pod(attributes)
        if pod is None:
            return
        required = await self._required(attributes)
        _refuse_conflicts(attributes, required, pod["spec"].get("nodeSelector") or {})
        if required:
            pod["spec"]["nodeSelector"] = {**required, **(pod["spec"].get("nodeSelector") or {})}

    async def validate(self, attributes: Attributes) -> None:
        """403 for a selector that the namespace may not use, or that lost what it must have."""
        pod = _created_pod(attributes)
        if pod is None:
            return
        selector = pod["spec"].get("nodeSelector") or {}
        _refuse_conflicts(attributes, await self._required(attributes), selector)
        allowed = self._selectors.get(attributes.namespace)
        if allowed and any(allowed.get(key) != value for key, value in selector.items()):
            why = "pod node label selector labels conflict with its namespace whitelist"
            raise errors.forbidden("pods", attributes.name, why)


def _refuse_conflicts(attributes: Attributes, required: Mapping[str, str], selector: Mapping[str, str]) -> None:
    if any(selector.get(key, value) != value for key, value in required.items()):
        why = "pod node label selector conflicts with its namespace node label selector"
        raise errors.forbidden("pods", attributes.name, why)


def tolerations_from(configurations: Configurations) -> tuple[list[Object], list[Object]]:
    """PodTolerationRestriction's configuration: the cluster's default tolerations, and the allowed ones."""
    document = configurations.of("PodTolerationRestriction", kind="Configuration", api_versions=_TOLERATIONS)
    fields = Fields("PodTolerationRestriction", document)
    defaults, allowed = fields.get("default", list, []), fields.get("whitelist", list, [])
    fields.close()
    for each in (*defaults, *allowed):
        if not isinstance(each, dict):
            raise ConfigurationError("PodTolerationRestriction: want tolerations")
    return defaults, allowed


class PodTolerationRestriction:
    """Pods of a namespace tolerate what it gives them, and nothing that it does not allow."""

    name = "PodTolerationRestriction"

    def __init__(self, lookups: Lookups, defaults: list[Object], allowed: list[Object]) -> None:
        self._lookups = lookups
        self._defaults = defaults
        self._allowed = allowed

    async def mutate(self, attributes: Attributes) -> None:
        """Merge in the namespace's default tolerations, and for pods that asked for resources memory pressure's."""
        pod = _written_pod(attributes)
        if pod is None:
            return
        extra: list[Any] = []
        if attributes.operation == CREATE:
            stated = await self._stated(attributes, _DEFAULT_TOLERATIONS)
            extra += self._defaults if stated is None else stated
        if pods.qos_class(pod) != "BestEffort":
            extra.append(_MEMORY_PRESSURE)
        if extra:
            merged = taints.merged(pod["spec"].get("tolerations") or [], extra)
            pod["spec"]["tolerations"] = [dict(each) for each in merged]

    async def validate(self, attributes: Attributes) -> None:
        """403 for a toleration that nothing allows, where anything is said of what is allowed."""
        pod = _written_pod(attributes)
        if pod is None or not pod["spec"].get("tolerations"):
            return
        allowed, scope = await self._stated(attributes, _ALLOWED_TOLERATIONS), "namespace"
        if allowed is None:
            allowed, scope = self._allowed, "cluster"
        if not allowed:
            return
        for each in pod["spec"]["tolerations"]:
            if not any(taints.covers(wider, each) for wider in allowed):
                why = (
                    "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
                    f"{scope} whitelist"
                )
                raise errors.forbidden("pods", attributes.name, why)

    async def _stated(self, attributes: Attributes, annotation: str) -> list[Object] | None:
        """The tolerations that an annotation of the namespace states, None without it."""
        text = (await _annotations(self._lookups, attributes.namespace)).get(annotation)
        if text is None:
            return None
        try:
            found = orjson.loads(text) if text else []
        except orjson.JSONDecodeError as error:
            raise errors.forbidden("pods", attributes.name, f"the namespace's {annotation}: {error}") from error
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise errors.forbidden("pods", attributes.name, f"the namespace's {annotation}: want tolerations")
        return found


def _written_pod(attributes: Attributes) -> Object | None:
    written = attributes.operation in (CREATE, UPDATE) and attributes.qualified == "pods"
    return attributes.object if written else None
