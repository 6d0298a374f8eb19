"""What expressions of admission see: their variables with types, and expressions compiled for what they must give.

Webhooks' match conditions and admission policies share these variables: `object`, `oldObject`, `params` (values of any
shape), `request`, `namespaceObject` (typed), `authorizer` and, in policies, `variables` (KEP-3488, KEP-3716, KEP-3962).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import programs, types
from .programs import Program
from .syntax import CelError
from .types import BOOL, DYN, INT, STRING, TIMESTAMP, Type

# What one expression may cost, all of a policy's binding or object, and all match conditions of one webhook or policy.
CALL_BUDGET: Final = programs.CALL_BUDGET
POLICY_BUDGET: Final = 10_000_000
CONDITIONS_BUDGET: Final = 2_500_000


def _typed(name: str, /, **fields: Type) -> Type:
    return Type(name, fields={types.escaped(field): (field, kind) for field, kind in fields.items()})


_STRINGS = types.list_of(STRING)
_KIND = _typed("kubernetes.GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_RESOURCE = _typed("kubernetes.GroupVersionResource", group=STRING, version=STRING, resource=STRING)
REQUEST: Final = _typed(
    "kubernetes.AdmissionRequest",
    kind=_KIND,
    resource=_RESOURCE,
    subResource=STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_typed(
        "kubernetes.UserInfo",
        username=STRING,
        uid=STRING,
        groups=_STRINGS,
        extra=types.map_of(STRING, _STRINGS),
    ),
    dryRun=types.BOOL,
    options=DYN,
)
_CONDITION = _typed(
    "kubernetes.NamespaceCondition",
    status=STRING,
    type=STRING,
    lastTransitionTime=TIMESTAMP,
    message=STRING,
    reason=STRING,
)
NAMESPACE: Final = _typed(
    "kubernetes.Namespace",
    metadata=_typed(
        "kubernetes.NamespaceMetadata",
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=types.map_of(STRING, STRING),
        annotations=types.map_of(STRING, STRING),
        UID=STRING,
        creationTimestamp=TIMESTAMP,
        deletionGracePeriodSeconds=INT,
        deletionTimestamp=TIMESTAMP,
        generation=INT,
        resourceVersion=STRING,
        finalizers=_STRINGS,
    ),
    spec=_typed("kubernetes.NamespaceSpec", finalizers=_STRINGS),
    status=_typed("kubernetes.NamespaceStatus", conditions=types.list_of(_CONDITION), phase=STRING),
)
# What the expressions of a mutation give.
PATCHED: Final = Type("Object")
OPERATIONS: Final = types.list_of(Type("JSONPatch"))


class ExpressionError(Exception):
    """An expression that does not compile, or gives something else than it must; the message is for a field's cause."""


class Environment:
    """The variables of one webhook's conditions or one policy. `composed` are its variables, in their order.

    `object_type` and `params_type` are DYN but where expressions are checked against schemas.
    """

    def __init__(
        self, *, has_params: bool = False, composes: bool = False, object_type: Type = DYN, params_type: Type = DYN
    ) -> None:
        self._plain: dict[str, Type] = {
            "object": object_type,
            "oldObject": object_type,
            "request": REQUEST,
            "namespaceObject": NAMESPACE,
        }
        if has_params:
            self._plain["params"] = params_type
        self.composed: dict[str, Program | str] = {}
        self._fields: dict[str, tuple[str, Type]] = {}
        if composes:
            self._plain["variables"] = Type(types.VARIABLES, fields=self._fields)
        self._authorized = {
            **self._plain,
            "authorizer": types.AUTHORIZER,
            "authorizer.requestResource": types.RESOURCE_CHECK,
        }

    def compose(self, name: str, source: str) -> str:
        """Add a variable, which may read those before it; what is wrong with it, "" where nothing is."""
        try:
            program: Program | str = self._compiled(source, self._authorized)
            kind = program.type if isinstance(program, Program) else DYN
        except CelError as error:
            program, kind = f"compilation failed: {error}", DYN
        self.composed[name] = program
        self._fields[name] = (name, kind)
        return program if isinstance(program, str) else ""

    def compile(self, source: str, *returns: Type, authorizes: bool = True, patches: bool = False) -> Program:
        """The program of an expression that gives exactly one of these types. Raises ExpressionError."""
        try:
            program = self._compiled(source, self._authorized if authorizes else self._plain, patches=patches)
        except CelError as error:
            raise ExpressionError(f"compilation failed: {error}") from error
        if program.type not in returns:
            if len(returns) == 1:
                raise ExpressionError(f"must evaluate to {returns[0]} but got {program.type}")
            raise ExpressionError(f"must evaluate to one of [{' '.join(map(str, returns))}] but got {program.type}")
        return program

    def _compiled(self, source: str, variables: Mapping[str, Type], *, patches: bool = False) -> Program:
        return programs.compile(source, variables, patches=patches)

    def problem(self, source: str) -> str:
        """What is wrong with an expression that may give anything, "" where nothing is."""
        try:
            self._compiled(source, self._authorized)
        except CelError as error:
            return f"compilation failed: {error}"
        return ""

    def condition(self, source: str) -> Program:
        """The program of an expression that must give true or false. Raises ExpressionError."""
        return self.compile(source, BOOL)
