"""Distributed tracing (KEP-647): spans of requests and of what they wait for, exported to a collector."""
