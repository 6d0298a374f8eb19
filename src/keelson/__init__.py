"""Keelson: a Kubernetes control plane and node, written in Python."""
