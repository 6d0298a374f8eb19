"""The audit log: who asked for what, when, from where, and what came of it ("Auditing", audit.k8s.io/v1)."""
