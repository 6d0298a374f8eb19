"""The Pod Security Standards (KEP-2579): which level a namespace asks for, and whether a pod is within it."""
