"""What the API fills in where an object says nothing: the defaults of v1.36, one function per kind.

They run on every write after decoding and once more after a patch, so each must be idempotent. Functions take the
object after `decoding.conform`: its types are right, so that only absence needs thought. An empty string counts as
absent where Go's field is no pointer. The rules are those of the API reference, field by field ("Defaults to …").
"""

from __future__ import annotations

from collections.abc import Callable

from keelson.api import zeros
from keelson.api.defaults import batches, clusters, extensions, pods, policies, services, structural, volumes, workloads
from keelson.api.meta import Object
from keelson.api.schemas import Schema, Typed

_KINDS: dict[tuple[str, str], Callable[[Object], None]] = {
    **pods.KINDS,
    **volumes.KINDS,
    **workloads.KINDS,
    **batches.KINDS,
    **services.KINDS,
    **clusters.KINDS,
    **policies.KINDS,
    **extensions.KINDS,
}


def apply(resource: Typed, obj: Object) -> None:
    """Fills in the defaults of a built-in kind and what it never leaves out, in place."""
    zeros.fill(resource, obj)
    defaulter = _KINDS.get((resource.api_version, resource.kind))
    if defaulter is not None:
        defaulter(obj)


def apply_structural(schema: Schema, obj: Object) -> None:
    """Fills in the defaults that a CRD version's schema states, in place."""
    structural.apply(schema, obj)
