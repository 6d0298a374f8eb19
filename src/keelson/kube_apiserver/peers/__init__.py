"""Instances of other versions: what they serve that this one does not, and the road of a request to them (KEP-4020)."""
