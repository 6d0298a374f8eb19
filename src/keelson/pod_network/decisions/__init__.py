"""What the node's network must be, as functions of the Nodes: no kernel, no clock, no file."""
