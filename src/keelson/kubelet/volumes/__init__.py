"""Pods' volumes on the node: made before the first container, kept fresh, and taken down after the last."""
