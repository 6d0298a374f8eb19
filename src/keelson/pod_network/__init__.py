"""pod-network: gives this node's pods their network, and the routes to the pods of all other nodes."""
