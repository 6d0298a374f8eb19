"""What a Service is given by the server: cluster addresses and node ports, each of them once in the whole cluster."""
