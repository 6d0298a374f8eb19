"""Admission policies: rules in CEL that objects of the cluster state and bindings put in force (KEP-3488, KEP-3962)."""
