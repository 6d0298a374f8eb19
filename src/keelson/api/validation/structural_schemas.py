"""Whether a CRD's schema is structural: says of every value what it is, outside of all logic.

What a structural schema says of types, defaults and extensions stands in its skeleton, which is all that is reached
without entering allOf, anyOf, oneOf or not; these only narrow what the skeleton names (apiextensions.k8s.io/v1,
"Specifying a structural schema"). Paths and words are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keelson.api import regexes
from keelson.api.meta import Object
from keelson.api.validation import causes
from keelson.api.validation.causes import Causes

ROOT, ITEM, FIELD = "at the root", "for specified array items", "for specified object fields"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_EITHER = [{"type": "integer"}, {"type": "string"}]
_METADATA_NAMES = {"name", "generateName"}
_LOGIC = ("anyOf", "allOf", "oneOf")
# What narrows a value may not say, and how that is told.
_ONLY_OUTSIDE = (
    ("type", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (_PRESERVE, "must be false to be structural"),
    (_EMBEDDED, "must be false to be structural"),
    (_INT_OR_STRING, "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)


def violations(schema: Object, path: str) -> Causes:
    """Why the schema at `path` is not structural, in the order of the complaints' texts."""
    review = _Review()
    review.skeleton(schema, path, ROOT)
    review.complete(schema, schema, path, path)
    return sorted(review.out, key=lambda cause: f"{cause['field']}: {cause['message']}")


def is_structural(schema: Object) -> bool:
    """Whether there is nothing that keeps a schema from being structural."""
    return not violations(schema, "")


class _Review:
    def __init__(self) -> None:
        self.out: Causes = []

    def skeleton(self, schema: Object, path: str, level: str) -> None:
        """What must hold for a node that is reached outside of all logic."""
        kind = schema.get("type") or ""
        if kind == "array" and schema.get("items") is None:
            self.out.append(causes.required(f"{path}.items", "must be specified"))
        if isinstance(schema.get("items"), dict):
            self.skeleton(schema["items"], f"{path}.items", ITEM)
        properties: dict[str, Object] = schema.get("properties") or {}
        for key, child in properties.items():
            self.skeleton(child, f"{path}.properties[{key}]", FIELD)
        extra = schema.get("additionalProperties")
        if extra is not None:
            if level is ROOT:
                self.out.append(causes.forbidden(f"{path}.additionalProperties", "must not be used at the root"))
            if isinstance(extra, dict):
                self.skeleton(extra, f"{path}.additionalProperties", FIELD)
        self._extensions(schema, path, kind, level)
        if "pattern" in schema:
            self._pattern(schema["pattern"], path)
        self._logic(schema, path)
        self._type_meta(schema, properties, path, level)

    def _extensions(self, schema: Object, path: str, kind: str, level: str) -> None:
        embedded, either = bool(schema.get(_EMBEDDED)), bool(schema.get(_INT_OR_STRING))
        for extension in (_PRESERVE, _EMBEDDED):
            if either and schema.get(extension):
                detail = f"must be false if {_INT_OR_STRING} is true"
                self.out.append(causes.invalid(f"{path}.{extension}", True, detail))
        if embedded and kind != "object":
            detail = f"must be object if {_EMBEDDED} is true"
            where = f"{path}.type"
            self.out.append(causes.invalid(where, kind, detail) if kind else causes.required(where, detail))
        elif not kind and not either and not schema.get(_PRESERVE):
            self.out.append(causes.required(f"{path}.type", f"must not be empty {level}"))
        if embedded and schema.get("additionalProperties") is not None:
            detail = f"must not be used if {_EMBEDDED} is set"
            self.out.append(causes.forbidden(f"{path}.additionalProperties", detail))
        if level is ROOT and kind and kind != "object":
            self.out.append(causes.invalid(f"{path}.type", kind, "must be object at the root"))
        if embedded and not schema.get(_PRESERVE) and not schema.get("properties"):
            detail = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
            self.out.append(causes.required(f"{path}.properties", detail))

    def _type_meta(self, schema: Object, properties: dict[str, Object], path: str, level: str) -> None:
        """What may be said of apiVersion, kind and metadata, which are every object's."""
        of_object = level is ROOT or bool(schema.get(_EMBEDDED))
        for name in ("kind", "apiVersion"):
            if of_object and name in properties and properties[name].get("type") != "string":
                where = f"{path}.properties[{name}].type"
                self.out.append(causes.invalid(where, properties[name].get("type") or "", "must be string"))
        if "metadata" not in properties:
            return
        metadata, where = properties["metadata"], f"{path}.properties[metadata]"
        if of_object and metadata.get("type") != "object":
            self.out.append(causes.invalid(f"{where}.type", metadata.get("type") or "", "must be object"))
        if level is not ROOT:
            return
        named = set(metadata.get("properties") or {})
        more = {key for key, value in metadata.items() if value and key not in ("type", "default", "properties")}
        if more or not named <= _METADATA_NAMES:
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            self.out.append(causes.forbidden(where, detail))

    def _pattern(self, pattern: str, path: str) -> None:
        try:
            regexes.compile(pattern)
        except regexes.PatternError as error:
            detail = f"must be a valid regular expression, but isn't: {error}"
            self.out.append(causes.invalid(f"{path}.pattern", pattern, detail))

    def _logic(self, schema: Object, path: str, *, either: bool | None = None) -> None:
        """The branches of a node. That a value is an integer or a string may be said in two ways: `either` is whether
        it is said here, None to look."""
        found = schema.get("anyOf") == _EITHER if either is None else either
        if not found:
            self._each(schema.get("anyOf") or (), f"{path}.anyOf", self._branch)
        first = either is None and bool(schema.get("allOf")) and schema["allOf"][0].get("anyOf") == _EITHER
        for index, branch in enumerate(schema.get("allOf") or ()):
            self._branch(branch, f"{path}.allOf[{index}]", either=first and index == 0)
        self._each(schema.get("oneOf") or (), f"{path}.oneOf", self._branch)
        if schema.get("not") is not None:
            self._branch(schema["not"], f"{path}.not")

    def _each(self, branches: Any, path: str, look: Callable[[Object, str], None]) -> None:
        for index, branch in enumerate(branches):
            look(branch, f"{path}[{index}]")

    def _branch(self, schema: Object, path: str, *, either: bool = False) -> None:
        """What must hold for a node within logic."""
        if "pattern" in schema:
            self._pattern(schema["pattern"], path)
        self._logic(schema, path, either=either)
        if isinstance(schema.get("items"), dict):
            self._branch(schema["items"], f"{path}.items")
        properties: dict[str, Object] = schema.get("properties") or {}
        for key, child in properties.items():
            self._branch(child, f"{path}.properties[{key}]")
        for field, detail in _ONLY_OUTSIDE:
            if schema.get(field) or (field == "default" and schema.get(field) is not None):
                self.out.append(causes.forbidden(f"{path}.{field}", detail))
        if schema.get("additionalProperties") not in (None, False):
            self.out.append(causes.forbidden(f"{path}.additionalProperties", "must be undefined to be structural"))
        if "metadata" in properties:
            detail = "must not be specified in a nested context"
            self.out.append(causes.forbidden(f"{path}.properties[metadata]", detail))

    # --- completeness: what logic names is named outside of it

    def complete(self, branch: Object, skeleton: Object | None, path: str, where: str) -> None:
        """What the logic of `branch`, at `where`, names must be in `skeleton`, at `path`."""
        for word in ("not", *_LOGIC):
            found = branch.get(word)
            if word == "not" and found is not None:
                self._covered(found, skeleton, path, f"{where}.not")
            elif word != "not":
                for index, each in enumerate(found or ()):
                    self._covered(each, skeleton, path, f"{where}.{word}[{index}]")

    def _covered(self, branch: Object, skeleton: Object | None, path: str, where: str) -> None:
        if skeleton is None:
            self.out.append(causes.required(path, f"because it is defined in {where}"))
            return
        self.complete(branch, skeleton, path, where)
        if isinstance(branch.get("items"), dict):
            items = skeleton.get("items")
            self._covered(
                branch["items"], items if isinstance(items, dict) else None, f"{path}.items", f"{where}.items"
            )
        properties = skeleton.get("properties") or {}
        for key, child in (branch.get("properties") or {}).items():
            self._covered(child, properties.get(key), f"{path}.properties[{key}]", f"{where}.properties[{key}]")
