"""RBAC's own restraint: nobody gives what he does not have ("Privilege escalation prevention and bootstrapping").

Reads the requester's rules. Roles need the verb `escalate`, bindings the verb `bind`, or rights that cover what is
given.
"""

from __future__ import annotations

from collections.abc import Sequence

from keelson.api import errors
from keelson.kube_apiserver.admission.chains import CREATE, UPDATE, Attributes
from keelson.kube_apiserver.authorization.rbac import Rbac, Rule, covers
from keelson.kube_apiserver.authorization.unions import MASTERS, Authorizer, decided
from keelson.kube_apiserver.serving.request_infos import RequestInfo

_GROUP = "rbac.authorization.k8s.io"
_ROLES = frozenset({f"roles.{_GROUP}", f"clusterroles.{_GROUP}"})
_BINDINGS = frozenset({f"rolebindings.{_GROUP}", f"clusterrolebindings.{_GROUP}"})


class Escalations:
    """Part of RBAC; it can't be disabled by itself."""

    name = "RBAC"

    def __init__(self, rbac: Rbac, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer

    async def validate(self, attributes: Attributes) -> None:
        """Refuse what gives more than the requester has."""
        if attributes.operation not in (CREATE, UPDATE) or MASTERS in attributes.context.user.groups:
            return
        new, old = attributes.object or {}, attributes.old
        if attributes.qualified in _ROLES:
            if old is not None and old.get("rules") == new.get("rules"):
                return
            if not await self._may(attributes, "escalate", attributes.resource.plural, attributes.name):
                self._check(attributes, new.get("rules") or [])
        elif attributes.qualified in _BINDINGS:
            if old is not None and all(old.get(field) == new.get(field) for field in ("subjects", "roleRef")):
                return
            reference = new.get("roleRef") or {}
            kind, name = reference.get("kind") or "", reference.get("name") or ""
            if await self._may(attributes, "bind", "clusterroles" if kind == "ClusterRole" else "roles", name):
                return
            rules = self._rbac.role_rules(kind, attributes.namespace, name)
            if rules is None:
                raise errors.not_found("clusterroles" if kind == "ClusterRole" else "roles", name, group=_GROUP)
            self._check(attributes, rules)

    async def _may(self, attributes: Attributes, verb: str, resource: str, name: str) -> bool:
        info = RequestInfo(True, verb, "", _GROUP, "v1", attributes.namespace, resource, "", name)
        return (await decided(self._authorizer, attributes.context.user, info)).allowed is True

    def _check(self, attributes: Attributes, wanted: Sequence[Rule]) -> None:
        user = attributes.context.user
        missing = covers(self._rbac.rules(user, attributes.namespace), wanted)
        if missing:
            shown = "\n".join(_shown(rule) for rule in missing)
            why = f'user "{user.name}" (groups={list(user.groups)}) is attempting to grant RBAC permissions not '
            why += f"currently held:\n{shown}"
            raise errors.forbidden(attributes.resource.plural, attributes.name, why, group=_GROUP)


def _shown(rule: Rule) -> str:
    fields = (("APIGroups", "apiGroups"), ("Resources", "resources"), ("ResourceNames", "resourceNames"))
    parts = [f"{label}:{list(rule[key])}" for label, key in fields if rule.get(key)]
    if rule.get("nonResourceURLs"):
        parts.append(f"NonResourceURLs:{list(rule['nonResourceURLs'])}")
    return "{" + ", ".join([*parts, f"Verbs:{list(rule['verbs'])}"]) + "}"
