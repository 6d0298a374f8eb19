"""What the mutations of a policy make of an object: apply configurations merged in, JSON patches applied."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from keelson.api import errors
from keelson.api.cel import values
from keelson.api.cel.environments import POLICY_BUDGET
from keelson.api.cel.evaluations import Budget, ExhaustedError
from keelson.api.cel.values import EvalError, StructValue
from keelson.api.meta import Object
from keelson.api.patches import json_patch, typed_values
from keelson.api.patches.typed_values import TypedValueError
from keelson.api.schemas import Schema
from keelson.kube_apiserver.admission.policies.definitions import Mutation


class MutationError(Exception):
    """A mutation that could not be made; the message is upstream's."""


def mutated(mutation: Mutation, schema: Schema, obj: Object, variables: Mapping[str, Any], trial: int | None) -> Object:
    """The object with the mutation made; what it leaves alone it may share with `obj`.

    Raises MutationError, evaluations.CostlyError.
    """
    try:
        result = Budget(POLICY_BUDGET, trial).run(mutation.program, variables)
    except ExhaustedError as error:
        raise MutationError(str(error)) from error
    if result.error:
        raise MutationError(result.error)
    try:
        if mutation.applies:
            return _applied(schema, obj, result.value)
        return _patched(obj, result.value)
    except EvalError as error:
        raise MutationError(str(error)) from error


def _applied(schema: Schema, obj: Object, value: Any) -> Object:
    misnamed = _misnamed(value, value.type_name)
    if misnamed:
        raise MutationError(f"type mismatch: {misnamed}")
    configuration = values.to_json(value) | {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind")}
    try:
        typed_values.fields_of(schema, configuration)
    except TypedValueError as error:
        raise MutationError(f"error applying patch: failed to convert patch object to typed object: {error}") from error
    atomic = _atomics(schema, configuration, "")
    if atomic:
        why = f"may not mutate atomic arrays, maps or structs: {', '.join(atomic)}"
        raise MutationError(f"error applying patch: invalid ApplyConfiguration: {why}")
    merged: Object = typed_values.merge(schema, obj, configuration)
    return merged


def _misnamed(value: Any, path: str) -> str:
    """What is wrong with the names of the types of a value and of what it holds, "" where nothing is.

    A type is named by where in the object it stands; lists and maps between have no names.
    """
    if isinstance(value, StructValue):
        if value.type_name != path:
            return (
                f'unexpected type name "{value.type_name}", expected "{path}", which matches field name path from '
                "root Object type"
            )
        return next((wrong for key, item in value.items() if (wrong := _misnamed(item, f"{path}.{key}"))), "")
    below = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return next((wrong for item in below if (wrong := _misnamed(item, path))), "")


def _atomics(schema: Schema, value: Any, path: str) -> list[str]:
    """Where a configuration states atomic lists or maps, of which it would remove what it does not state."""
    found: list[str] = []
    if isinstance(value, dict):
        if schema.map_type == "atomic":
            found.append(path)
        for key, item in value.items():
            below = schema.properties.get(key)
            if below is not None:
                found += _atomics(below, item, f"{path}.{key}")
    elif isinstance(value, list):
        if schema.list_type not in ("map", "set"):
            found.append(path)
        if schema.items is not None:
            for index, item in enumerate(value):
                found += _atomics(schema.items, item, f"{path}[{index}]")
    return found


def _patched(obj: Object, value: Any) -> Object:
    operations = []
    for operation in value:
        stated = {key: operation[key] for key in ("op", "path", "from") if operation.get(key)}
        if "value" in operation:
            new = operation["value"]
            if isinstance(new, StructValue) and (wrong := _misnamed(new, new.type_name)):
                raise MutationError(f"type mismatch: {wrong}")
            stated["value"] = values.to_json(new)
        operations.append({"path": "", **stated})
    try:
        patched = copy.deepcopy(json_patch.apply(obj, operations))
    except json_patch.UnequalError:
        # A failed test says that the patch is not for this object.
        return obj
    except errors.StatusError as error:
        causes = error.details.get("causes") or ()
        why = "; ".join(cause["message"] for cause in causes) or error.message
        raise MutationError(f"JSON Patch: {why}") from error
    if not isinstance(patched, dict):
        raise MutationError("JSON Patch: a patch must leave an object")
    return patched
