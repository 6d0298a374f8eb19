"""What every cluster has from its first moment: namespaces, roles, priority classes, and what clients look up."""
