"""The Common Expression Language as the Kubernetes API uses it: parsed, type-checked, priced and evaluated.

A language of our own writing and not a library's, because the API needs three things that none of those on PyPI offers:
types that come from a CRD's schema, so that a rule which names a field that is not there is refused with its CRD; an
estimate of what a rule may cost before it is accepted; and an evaluation that stops when its budget is spent, inside
of any loop. Expressions become closures, so a rule costs what a few calls cost.

Sources: the CEL specification (github.com/google/cel-spec, langdef.md), KEP-2876, and "Common Expression Language in
Kubernetes" of the Kubernetes documentation for the libraries.
"""
