"""Rules in CEL: those that a CRD states are checked with it, and its objects by them (KEP-2876, KEP-4008).

A schema's rules are compiled once and stand in a tree of their own that holds only the nodes with rules at or below
them. Rules that speak of `oldSelf` judge transitions and are skipped where there is no former value; what did not
change is judged by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keelson.api import errors
from keelson.api.meta import Object
from keelson.api.schemas import Schema, structural
from keelson.api.validation import causes
from keelson.api.validation.causes import Cause, Causes
from keelson.api.validation.structural import BLOCKING

if TYPE_CHECKING:
    from keelson.api.cel.programs import Program
    from keelson.api.cel.types import Conversion, Type

# What all rules of one object may cost together when they run (upstream's RuntimeCELCostBudget).
OBJECT_BUDGET = 10_000_000
# Bytes of what a messageExpression makes.
_MOST_MESSAGE = 5 * 1024
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_RULES = "x-kubernetes-validations"
_OLD_SELF = re.compile(r"\boldSelf\b")
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
_SIMPLIFY = (
    "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared"
)
_BREAK = re.compile(r"[\n\r]")
_PATH = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\['((?:[^'\\]|\\.)*)'\]")


class _Rule:
    """One rule, ready to run."""

    def __init__(self, stated: Mapping[str, Any], self_type: Type) -> None:
        # Schemas without rules must not pay for the language.
        from keelson.api.cel import programs, types

        self.text: str = stated["rule"]
        self.stated = stated
        self.is_transition = _OLD_SELF.search(self.text) is not None
        self.optional_old = bool(stated.get("optionalOldSelf"))
        old = types.optional_of(self_type) if self.optional_old else self_type
        variables = {"self": self_type, "oldSelf": old} if self.is_transition else {"self": self_type}
        self.program = programs.compile(self.text, variables)
        expression = stated.get("messageExpression") or ""
        self.message: Program | None = None
        if expression:
            self.message = programs.compile(expression, {"self": self_type, "oldSelf": old})

    @property
    def name(self) -> str:
        """What it is called where it could not be evaluated."""
        return self.stated.get("message") or self.text.strip()

    @property
    def described(self) -> str:
        """What is said where the rule fails and has no better words."""
        return self.stated.get("message") or f"failed rule: {self.text.strip()}"


class _Rules:
    """The rules at one node and below it."""

    __slots__ = ("below", "convert", "items", "price", "properties", "rules", "schema")

    def __init__(self, schema: Schema, rules: list[_Rule], convert: Conversion | None) -> None:
        self.schema = schema
        self.rules = rules
        self.convert = convert
        self.properties: dict[str, _Rules] = {}
        self.items: _Rules | None = None
        self.below: _Rules | None = None
        # Of the whole schema; only ever asked of its root.
        self.price: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to judge at or below the node."""
        return not (self.rules or self.properties or self.items or self.below)


def _has_rules(schema: Schema) -> bool:
    if _RULES in schema.constraints:
        return True
    children = [*schema.properties.values(), schema.items, schema.additional_properties]
    return any(_has_rules(child) for child in children if child is not None and not child.name)


def _compiled(schema: Schema, *, root: bool) -> _Rules:
    from keelson.api.cel import types

    stated = schema.constraints.get(_RULES) or []
    self_type = types.of_schema(schema, root=root) if stated else None
    rules = [_Rule(each, self_type) for each in stated] if self_type is not None else []
    made = _Rules(schema, rules, types.conversion(schema) if rules else None)
    for name, child in schema.properties.items():
        # Nodes of built-in definitions have names; they state no rules.
        if not child.name and _has_rules(child):
            made.properties[name] = _compiled(child, root=False)
    if schema.items is not None and _has_rules(schema.items):
        made.items = _compiled(schema.items, root=False)
    if schema.additional_properties is not None and _has_rules(schema.additional_properties):
        made.below = _compiled(schema.additional_properties, root=False)
    return made


def _tree(schema: Schema) -> _Rules | None:
    """The rules of a whole schema, None where it has none; compiled at first use."""
    if schema.rules is None:
        schema.rules = _compiled(schema, root=True) if _has_rules(schema) else False
    found: _Rules | None = schema.rules or None
    return found


def price(schema: Schema) -> int:
    """What the rules of a whole schema may cost together, in the units of cel.costs; 0 where it has none."""
    tree = _tree(schema)
    if tree is None:
        return 0
    if tree.price is None:
        review = _Review([])
        review.node(schema, "", root=True, times=1, correlated=True)
        tree.price = review.total
    return tree.price


# Stands for a former value that there is not.
ABSENT: Any = object()


class _Judge:
    def __init__(self) -> None:
        self.out: Causes = []
        self._left = OBJECT_BUDGET
        self._spent = False

    def value(self, rules: _Rules, value: Any, path: str, old: Any) -> None:
        if value is None or self._spent:
            return
        same = old is not ABSENT and old == value
        for rule in rules.rules:
            if rule.is_transition:
                if old is ABSENT and not rule.optional_old:
                    continue
            elif same:
                continue
            if not self._rule(rules, rule, value, path, old):
                return
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, child in value.items():
                below = rules.properties.get(name, rules.below)
                if below is not None:
                    self.value(below, child, f"{path}.{name}" if path else name, before.get(name, ABSENT))
        elif isinstance(value, list) and rules.items is not None:
            self._items(rules, rules.items, value, path, old)

    def _items(self, rules: _Rules, below: _Rules, value: list[Any], path: str, old: Any) -> None:
        keys = rules.schema.list_map_keys if rules.schema.list_type == "map" else ()
        known = {}
        if keys and isinstance(old, list):
            known = {tuple(item.get(key) for key in keys): item for item in old if isinstance(item, dict)}
        for position, item in enumerate(value):
            before: Any = ABSENT
            if keys and isinstance(item, dict):
                before = known.get(tuple(item.get(key) for key in keys), ABSENT)
            elif isinstance(old, list) and old == value:
                before = item
            self.value(below, item, f"{path}[{position}]", before)

    def _rule(self, rules: _Rules, rule: _Rule, value: Any, path: str, old: Any) -> bool:
        """Judge by one rule; False where the budget is spent and nothing more is to be judged."""
        from keelson.api.cel.programs import CALL_BUDGET
        from keelson.api.cel.values import NONE, BudgetError, EvalError, OptionalValue

        convert = rules.convert or (lambda found: found)
        where, kind = path or "<nil>", rules.schema.type or "object"
        try:
            variables = {"self": convert(value)}
            if rule.is_transition or rule.message is not None:
                before = None if old is ABSENT else convert(old)
                if rule.optional_old:
                    before = NONE if old is ABSENT else OptionalValue(before)
                variables["oldSelf"] = before
            result, cost = rule.program.run(variables, budget=min(CALL_BUDGET, self._left))
        except EvalError as error:
            self.out.append(causes.invalid(where, kind, f"{error} evaluating rule: {rule.name}"))
            return True
        except ValueError as error:
            # Text that its schema takes for more than text and that is not; the schema's validation says so too.
            self.out.append(causes.invalid(where, kind, f"{error} evaluating rule: {rule.name}"))
            return True
        except BudgetError:
            self._spent = True
            why = f"no further validation rules will be run due to call cost exceeds limit for rule: {rule.text}"
            if self._left < CALL_BUDGET:
                why = "validation failed due to running out of cost budget, no further validation rules will be run"
            self.out.append(causes.invalid(where, kind, why))
            return False
        self._left -= cost
        if result is not True:
            self.out.append(_failure(rule, where, rules.schema.type, value, self._message(rule, variables)))
        return True

    def _message(self, rule: _Rule, variables: Mapping[str, Any]) -> str:
        from keelson.api.cel.programs import CALL_BUDGET
        from keelson.api.cel.values import BudgetError, EvalError

        if rule.message is None:
            return rule.described
        try:
            text, cost = rule.message.run(variables, budget=min(CALL_BUDGET, self._left))
        except (EvalError, BudgetError):
            # The rule's own words do where the expression has none.
            return rule.described
        self._left -= cost
        fine = isinstance(text, str) and text.strip() and "\n" not in text and len(text.encode()) <= _MOST_MESSAGE
        return str(text) if fine else rule.described


def _failure(rule: _Rule, where: str, type_: str, value: Any, message: str) -> Cause:
    """What a rule that does not hold is told as: with its value, but for objects and lists, whose text were long."""
    field = rule.stated.get("fieldPath") or ""
    if field:
        relative = "".join(f".{name}" if name else f"[{key}]" for name, key in _PATH.findall(field))
        where = (relative if where == "<nil>" else where + relative).lstrip(".")
    match rule.stated.get("reason"):
        case "FieldValueForbidden":
            return causes.forbidden(where, message)
        case "FieldValueRequired":
            return causes.required(where, message)
        case "FieldValueDuplicate":
            reason, title = "FieldValueDuplicate", "Duplicate value"
        case _:
            reason, title = "FieldValueInvalid", "Invalid value"
    if type_ in ("object", "array"):
        return errors.cause(where, reason, f"{title}: {message}")
    return errors.cause(where, reason, f"{title}: {causes.shown(value)}: {message}")


def validate(schema: Schema, new: Object, old: Object | None, *, found: Causes) -> Causes:
    """The causes why an object breaks its schema's rules; `found` are those that the schema itself found already."""
    tree = _tree(schema)
    if tree is None or tree.is_empty:
        return []
    if any(cause["reason"] in BLOCKING for cause in found):
        return [causes.invalid("<nil>", None, _UNCHECKED)]
    judge = _Judge()
    judge.value(tree, new, "", ABSENT if old is None else old)
    return judge.out


def value_causes(schema: Schema, value: Any, old: Any, path: str) -> Causes:
    """The causes why a value that stands at `path`, not a whole object, breaks its schema's rules."""
    if not _has_rules(schema):
        return []
    judge = _Judge()
    judge.value(_compiled(schema, root=False), value, path, old)
    return judge.out


# --- the rules of a CRD


class _Review:
    """Looks through a schema as a CRD states it."""

    def __init__(self, out: Causes, *, priced: bool = True) -> None:
        self.out = out
        self.total = 0
        self._priced = priced

    def node(self, schema: Schema, path: str, *, root: bool, times: int, correlated: bool) -> None:
        """`times` is how often the node can occur in one object; `correlated` whether its former value is known."""
        from keelson.api.cel import types

        stated = schema.constraints.get(_RULES) or []
        if stated:
            self_type = types.of_schema(schema, root=root)
            for position, each in enumerate(stated):
                where = f"{path}.{_RULES}[{position}]"
                if self_type is None:
                    why = "rules may not be set where unknown fields are kept"
                    self.out.append(causes.invalid(f"{where}.rule", each.get("rule"), why))
                else:
                    self._rule(each, schema, self_type, where, times, correlated=correlated)
        for name, child in schema.properties.items():
            if not child.name:
                below = f"{path}.properties[{name}]"
                self.node(child, below, root=False, times=times, correlated=correlated)
        if schema.items is not None:
            kind = types.of_schema(schema)
            most = kind.limit if kind is not None else 1
            keyed = correlated and schema.list_type == "map"
            self.node(schema.items, f"{path}.items", root=False, times=times * max(most, 1), correlated=keyed)
        if schema.additional_properties is not None:
            kind = types.of_schema(schema)
            most = kind.limit if kind is not None else 1
            below = f"{path}.additionalProperties"
            times *= max(most, 1)
            self.node(schema.additional_properties, below, root=False, times=times, correlated=correlated)

    def _rule(
        self, stated: Object, schema: Schema, self_type: Type, where: str, times: int, *, correlated: bool
    ) -> None:
        from keelson.api.cel import costs
        from keelson.api.cel.syntax import CelError

        text = stated.get("rule") or ""
        if not text.strip():
            self.out.append(causes.required(f"{where}.rule", "rule is not specified"))
            return
        self._words(stated, where)
        self._field(stated, schema, where)
        try:
            rule = _Rule({**stated, "messageExpression": ""}, self_type)
        except CelError as error:
            self.out.append(causes.invalid(f"{where}.rule", text, f"compilation failed: {error}"))
            return
        if rule.program.type.name not in ("bool", "dyn"):
            self.out.append(causes.invalid(f"{where}.rule", text, "cel expression must evaluate to a bool"))
        if rule.is_transition and not correlated:
            why = "oldSelf cannot be used on the uncorrelatable portion of the schema"
            self.out.append(causes.invalid(f"{where}.rule", text, why))
        if stated.get("optionalOldSelf") is not None and not rule.is_transition:
            why = "may not be set if oldSelf is not used in rule"
            self.out.append(causes.invalid(f"{where}.optionalOldSelf", stated["optionalOldSelf"], why))
        self._price(f"{where}.rule", "estimated rule cost", costs.most(rule.program.tree) * times)
        expression = stated.get("messageExpression") or ""
        if expression:
            try:
                message = _Rule(stated, self_type).message
            except CelError as error:
                why = f"messageExpression compilation failed: {error}"
                self.out.append(causes.invalid(f"{where}.messageExpression", expression, why))
                return
            if message is not None and message.type.name not in ("string", "dyn"):
                why = "messageExpression must evaluate to a string"
                self.out.append(causes.invalid(f"{where}.messageExpression", expression, why))
            elif message is not None:
                cost = costs.most(message.tree) * times
                self._price(f"{where}.messageExpression", "estimated messageExpression cost", cost)

    def _price(self, where: str, what: str, cost: int) -> None:
        from keelson.api.cel import costs

        self.total += cost
        if self._priced and cost > costs.RULE_LIMIT:
            factor = costs.excess(cost, costs.RULE_LIMIT)
            self.out.append(causes.forbidden(where, f"{what} exceeds budget by factor of {factor} ({_SIMPLIFY})"))

    def _words(self, stated: Object, where: str) -> None:
        message, rule = stated.get("message") or "", stated.get("rule") or ""
        if message and not message.strip():
            self.out.append(causes.invalid(f"{where}.message", message, "must be non-empty if specified"))
        elif _BREAK.search(message.strip()):
            self.out.append(causes.invalid(f"{where}.message", message, "must not contain line breaks"))
        elif _BREAK.search(rule.strip()) and not message:
            why = "message must be specified if rule contains line breaks"
            self.out.append(causes.required(f"{where}.message", why))
        if stated.get("messageExpression") and not stated["messageExpression"].strip():
            why = "messageExpression must be non-empty if specified"
            self.out.append(causes.required(f"{where}.messageExpression", why))
        reason = stated.get("reason")
        if reason is not None and reason not in _REASONS:
            self.out.append(causes.unsupported(f"{where}.reason", reason, _REASONS))

    def _field(self, stated: Object, schema: Schema, where: str) -> None:
        field = stated.get("fieldPath") or ""
        if not field:
            return
        if not field.strip():
            self.out.append(causes.invalid(f"{where}.fieldPath", field, "must be non-empty if specified"))
        if _BREAK.search(field):
            self.out.append(causes.invalid(f"{where}.fieldPath", field, "must not contain line breaks"))
        if not _is_path(field, schema):
            self.out.append(causes.invalid(f"{where}.fieldPath", field, "must be a valid path"))


def _is_path(text: str, schema: Schema) -> bool:
    """Whether a path leads from a node to a field below it; items of lists have none."""
    if not re.fullmatch(f"(?:{_PATH.pattern})+", text):
        return False
    node: Schema | None = schema
    for name, key in _PATH.findall(text):
        if node is None or node.name:
            return False
        # A bracket looks a field up as a dot does; a map has its keys in brackets or, where they are names, dots.
        node = node.properties.get(name or key) or node.additional_properties
    return node is not None


def check(path: str, open_api_v3_schema: Mapping[str, Any], *, priced: bool = True) -> Causes:
    """What is wrong with the rules of a CRD version's schema, which must be structural.

    Unless `priced`, single rules may be as dear as they are: a schema that did not change was let in before.
    """
    from keelson.api.cel import costs

    schema = structural(open_api_v3_schema)
    if not _has_rules(schema):
        return []
    review = _Review([], priced=priced)
    review.node(schema, path, root=True, times=1, correlated=True)
    if review.total > costs.SCHEMA_LIMIT:
        factor = costs.excess(review.total, costs.SCHEMA_LIMIT)
        why = (
            "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget "
            f"by factor of {factor} ({_SIMPLIFY})"
        )
        review.out.append(causes.forbidden(path, why))
    return review.out
