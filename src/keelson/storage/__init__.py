"""The key-value store behind the API: a port (`stores`), its implementations, and encryption at rest."""
