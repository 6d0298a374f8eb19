"""The Pulumi program of a stack: typed settings, and the wiring of the components."""
