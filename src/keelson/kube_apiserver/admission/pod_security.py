"""PodSecurity: pods are within the level that their namespace asks for, and templates are warned of (KEP-2579).

Reads namespaces' labels, and the pods of a namespace whose level is raised; writes warnings and audit annotations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keelson.api import errors, meta
from keelson.api.meta import Object
from keelson.api.pod_security import checks
from keelson.api.pod_security.policies import (
    LEVELS,
    PREFIX,
    PRIVILEGED,
    Mode,
    Policy,
    compare,
    is_version,
    minor,
    policy_of,
)
from keelson.component_base.configurations import ConfigurationError, Fields
from keelson.kube_apiserver import versions
from keelson.kube_apiserver.registry.contexts import Context

from . import metrics
from .chains import CREATE, UPDATE, Attributes
from .configurations import Configurations
from .lookups import Lookups

_API = "pod-security.admission.config.k8s.io"
_API_VERSIONS = (f"{_API}/v1", f"{_API}/v1beta1", f"{_API}/v1alpha1")
_KIND = "PodSecurityConfiguration"
# Subresources that can't change what a pod may do; any other is looked at.
_HARMLESS = frozenset(("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"))
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "replicationcontrollers": ("spec", "template"),
    "podtemplates": ("template",),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
# Of a namespace whose level is raised no more pods are looked at, and no longer.
_MOST_PODS = 3000
_SECONDS = 1.0
_SLICE = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """The plugin's configuration: what holds where labels are silent, and whom it does not concern."""

    defaults: Policy = field(default_factory=Policy)
    usernames: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()


def settings_of(document: Mapping[str, Any], where: str = _KIND) -> Settings:
    """What a PodSecurityConfiguration states, given without apiVersion and kind. Raises ConfigurationError."""
    fields = Fields(where, document)
    stated, exempt = fields.child("defaults"), fields.child("exemptions")
    modes = {}
    for name in ("enforce", "audit", "warn"):
        mode = Mode(stated.get(name, str, PRIVILEGED), stated.get(f"{name}-version", str, "latest"))
        if mode.level not in LEVELS:
            raise ConfigurationError(f"{where}.defaults.{name}: must be one of {', '.join(LEVELS)}")
        if not is_version(mode.version):
            raise ConfigurationError(f'{where}.defaults.{name}-version: must be "latest" or "v1.x"')
        modes[name] = mode
    names = {name: frozenset(exempt.get(name, list, [])) for name in ("usernames", "runtimeClasses", "namespaces")}
    fields.close()
    return Settings(Policy(**modes), names["usernames"], names["runtimeClasses"], names["namespaces"])


def settings_from(configurations: Configurations) -> Settings:
    """The settings that the admission configuration has for this plugin. Raises ConfigurationError."""
    document = configurations.of("PodSecurity", kind=_KIND, api_versions=_API_VERSIONS)
    return settings_of(document) if document is not None else Settings()


class PodSecurity:
    """The plugin."""

    name = "PodSecurity"
    subjects = frozenset({"pods", "namespaces", *_TEMPLATES})

    def __init__(self, lookups: Lookups, settings: Settings | None = None) -> None:
        self._lookups = lookups
        self._settings = settings or Settings()
        self._pods = lookups.namespaced("pods")

    async def validate(self, attributes: Attributes) -> None:
        """Refuse with 403 what the namespace's level forbids; 422 for labels that name no level or version."""
        if attributes.operation not in (CREATE, UPDATE) or attributes.object is None:
            return
        qualified = attributes.resource.qualified
        if qualified == "pods":
            if attributes.subresource not in _HARMLESS:
                await self._pod(attributes, attributes.object)
        elif qualified in _TEMPLATES:
            if not attributes.subresource:
                await self._template(attributes, attributes.object)
        elif qualified == "namespaces" and not attributes.subresource:
            await self._namespace(attributes, attributes.object)

    def _is_exempt(self, attributes: Attributes) -> bool:
        settings = self._settings
        exempt = ""
        if attributes.namespace in settings.namespaces:
            exempt = "namespace"
        elif attributes.context.user.name in settings.usernames:
            exempt = "user"
        if exempt:
            metrics.pod_exempted(attributes.operation, attributes.resource.plural, attributes.subresource)
            _note(attributes.context, "exempt", exempt)
        return bool(exempt)

    async def _pod(self, attributes: Attributes, pod: Object) -> None:
        if self._is_exempt(attributes):
            return
        labels = await self._lookups.labels("namespaces", "", attributes.namespace)
        policy, causes = policy_of(labels, self._settings.defaults)
        if not causes and policy.is_privileged:
            _count(attributes, "enforce", policy.enforce)
            _note(attributes.context, "enforce-policy", f"{PRIVILEGED}:latest")
            return
        if attributes.old is not None and not _is_significant(pod, attributes.old):
            return
        self._judge(attributes, policy, causes, meta.metadata(pod), pod.get("spec") or {}, enforce=True)

    async def _template(self, attributes: Attributes, obj: Object) -> None:
        if self._is_exempt(attributes):
            return
        labels = await self._lookups.labels("namespaces", "", attributes.namespace)
        policy, causes = policy_of(labels, self._settings.defaults)
        if not causes and policy.warn.level == policy.audit.level == PRIVILEGED:
            return
        template: Any = obj
        for name in _TEMPLATES[attributes.resource.qualified]:
            template = (template or {}).get(name)
        if template is not None:
            self._judge(attributes, policy, causes, meta.metadata(template), template.get("spec") or {}, enforce=False)

    def _judge(
        self,
        attributes: Attributes,
        policy: Policy,
        causes: list[dict[str, str]],
        metadata: Object,
        spec: Object,
        *,
        enforce: bool,
    ) -> None:
        context = attributes.context
        if (spec.get("runtimeClassName") or "") in self._settings.runtime_classes:
            metrics.pod_exempted(attributes.operation, attributes.resource.plural, attributes.subresource)
            _note(context, "exempt", "runtimeClass")
            return
        if causes:
            shown = ", ".join(f"{cause['field']}: {cause['message']}" for cause in causes)
            _note(context, "error", f"Failed to parse policy: {shown}")
        found = {mode: checks.violations(mode, metadata, spec) for mode in {policy.audit, policy.warn}}
        if audited := found[policy.audit]:
            _count(attributes, "audit", policy.audit, denied=True)
            _note(
                context,
                "audit-violations",
                f'would violate PodSecurity "{policy.audit}": {checks.details(audited)}',
            )
        if enforce:
            _note(context, "enforce-policy", str(policy.enforce))
            forbidden = found.get(policy.enforce)
            if forbidden is None:
                forbidden = checks.violations(policy.enforce, metadata, spec)
            _count(attributes, "enforce", policy.enforce, denied=bool(forbidden))
            if forbidden:
                why = f'violates PodSecurity "{policy.enforce}": {checks.details(forbidden)}'
                raise errors.forbidden(attributes.resource.plural, attributes.name, why)
        if warned := found[policy.warn]:
            _count(attributes, "warn", policy.warn, denied=True)
            context.warnings.append(f'would violate PodSecurity "{policy.warn}": {checks.details(warned)}')

    async def _namespace(self, attributes: Attributes, namespace: Object) -> None:
        defaults, labels = self._settings.defaults, meta.labels(namespace)
        new, causes = policy_of(labels, defaults)
        old = attributes.old
        before, earlier = policy_of(meta.labels(old), defaults) if old is not None else (defaults, [])
        if causes and (old is None or causes != earlier):
            raise errors.invalid("Namespace", attributes.name, causes)
        name = meta.name(namespace)
        if old is not None:
            if new.enforce == before.enforce or new.enforce.level == PRIVILEGED:
                return
            relaxed = compare(new.enforce.level, before.enforce.level) <= 0
            if new.enforce.version == before.enforce.version and relaxed:
                return
        if name in self._settings.namespaces:
            if not new.is_privileged and not new.equivalent(defaults):
                shown = ", ".join(_stated(new, labels))
                why = f'namespace "{name}" is exempt from Pod Security, and the policy ({shown}) will be ignored'
                attributes.context.warnings.append(why)
            return
        if old is not None:
            attributes.context.warnings += await self._violators(name, new.enforce)

    async def _violators(self, namespace: str, mode: Mode) -> list[str]:
        """What to warn of: the pods that a namespace's new level would refuse."""
        pods = _representatives(
            pod
            for pod in await self._pods.list(namespace)
            if ((pod.get("spec") or {}).get("runtimeClassName") or "") not in self._settings.runtime_classes
        )
        loop = asyncio.get_running_loop()
        end = loop.time() + _SECONDS
        looked = 0
        by_reason: dict[str, list[str]] = {}
        for pod in pods[:_MOST_PODS]:
            found = checks.violations(mode, meta.metadata(pod), pod.get("spec") or {})
            if found:
                by_reason.setdefault(checks.reasons(found), []).append(meta.name(pod))
            looked += 1
            if looked % _SLICE == 0:
                if loop.time() > end:
                    break
                # Others are served between the slices.
                await asyncio.sleep(0)
        warnings = []
        if looked < len(pods):
            first = f"first {looked} of {len(pods)} existing pods"
            warnings.append(f"new PodSecurity enforce level only checked against the {first}")
        if by_reason:
            warnings.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{mode}"'
            )
        return warnings + sorted(_line(names, reason) for reason, names in by_reason.items())


def _count(attributes: Attributes, mode: str, policy: Mode, *, denied: bool = False) -> None:
    """Count an evaluation. What is allowed is privileged always, and versions that are not yet are the future."""
    latest = policy.level == PRIVILEGED or minor(policy.version) is None
    number = minor(policy.version) or 0
    version = "latest" if latest else "future" if number > int(versions.MINOR) else policy.version
    about = (attributes.operation, attributes.resource.plural, attributes.subresource)
    metrics.pod_evaluated("deny" if denied else "allow", policy.level, version, mode, *about)


def _line(names: list[str], reason: str) -> str:
    others = len(names) - 1
    more = {0: "", 1: " (and 1 other pod)"}.get(others, f" (and {others} other pods)")
    return f"{min(names)}{more}: {reason}"


def _note(context: Context, key: str, value: str) -> None:
    context.annotations[PREFIX + key] = value


def _stated(policy: Policy, labels: Mapping[str, str]) -> list[str]:
    modes = (("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn))
    return [
        f"{name}={mode}"
        for name, mode in modes
        if mode.level != PRIVILEGED and (PREFIX + name in labels or f"{PREFIX}{name}-version" in labels)
    ]


def _representatives(pods: Iterable[Object]) -> list[Object]:
    """All pods, one of each controller first: the others are most likely like it."""
    first: list[Object] = []
    rest: list[Object] = []
    seen: set[str] = set()
    for pod in pods:
        owner = meta.controller_of(pod)
        if owner is not None and owner["uid"] in seen:
            rest.append(pod)
            continue
        if owner is not None:
            seen.add(owner["uid"])
        first.append(pod)
    return first + rest


def _is_significant(pod: Object, old: Object) -> bool:
    """Whether an update can bring what was not judged: other images, further containers."""
    spec, before = pod.get("spec") or {}, old.get("spec") or {}
    for kind in ("containers", "initContainers"):
        new, previous = spec.get(kind) or [], before.get(kind) or []
        if [each.get("image") for each in new] != [each.get("image") for each in previous]:
            return True
    images = {each.get("name"): each.get("image") for each in before.get("ephemeralContainers") or ()}
    return any(
        each.get("name") not in images or images[each.get("name")] != each.get("image")
        for each in spec.get("ephemeralContainers") or ()
    )
