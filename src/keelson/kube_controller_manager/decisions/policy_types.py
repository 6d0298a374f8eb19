"""What is wrong with the types in a ValidatingAdmissionPolicy's expressions, once it is known what they are applied to.

A policy's expressions are accepted without types; here they are checked against the schema of every kind that its rules
name in full. The findings warn the policy's author and change nothing of what the policy does (KEP-3488, "Type
Checking").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from keelson.api.cel import types
from keelson.api.cel.environments import Environment
from keelson.api.cel.types import DYN, Type
from keelson.api.meta import Object
from keelson.api.schemas import Schema

# More kinds than this are not looked at.
_MOST_KINDS = 10


class Kind(NamedTuple):
    """A GroupVersionKind; orders as findings are listed."""

    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{f'{self.group}/' if self.group else ''}{self.version}, Kind={self.kind}"


# The kind of a resource (group, version, plural), and the schema of a kind; None where the cluster has none.
Kinds = Callable[[str, str, str], "Kind | None"]
Schemas = Callable[[Kind], "Schema | None"]


def _checked(policy: Object, kinds: Kinds) -> list[Kind]:
    found: set[Kind] = set()
    for rule in (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
        # Wildcards name what may only come into being.
        if "*" in groups or "*" in versions:
            continue
        resources = [each for each in rule.get("resources") or () if not set(each) & set("*/")]
        for group in sorted(groups):
            for version in sorted(versions):
                for resource in sorted(resources):
                    kind = kinds(group, version, resource)
                    if kind is not None and len(found) < _MOST_KINDS:
                        found.add(kind)
    return sorted(found)


def _type(schema: Schema | None) -> Type | None:
    return None if schema is None else types.of_schema(schema)


def _params(policy: Object, schemas: Schemas) -> Type:
    stated: Mapping[str, Any] = policy["spec"].get("paramKind") or {}
    group, _, version = str(stated.get("apiVersion") or "").rpartition("/")
    found = _type(schemas(Kind(group, version, str(stated.get("kind") or "")))) if stated else None
    return DYN if found is None else found


def warnings(policy: Object, kinds: Kinds, schemas: Schemas) -> list[dict[str, str]]:
    """The ExpressionWarnings of a policy, in the order of its expressions."""
    spec = policy["spec"]
    params = _params(policy, schemas)
    environments: list[tuple[Kind, Environment]] = []
    for kind in _checked(policy, kinds):
        object_type = _type(schemas(kind))
        if object_type is None:
            continue
        environment = Environment(
            has_params=bool(spec.get("paramKind")), composes=True, object_type=object_type, params_type=params
        )
        for variable in spec.get("variables") or ():
            environment.compose(variable["name"], variable["expression"])
        environments.append((kind, environment))
    found = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field) or ""
            problems = [
                f"{kind}: {problem}\n" for kind, each in environments if text and (problem := each.problem(text))
            ]
            if problems:
                found.append({"fieldRef": f"spec.validations[{index}].{field}", "warning": "\n".join(problems)})
    return found
