"""The scheduling decision: pure functions of a snapshot of nodes and pods."""
