"""The node's agent: runs the pods bound to its node through a CRI runtime and tells the API how they are."""
