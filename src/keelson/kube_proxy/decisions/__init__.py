"""What the table holds, as functions of Services, EndpointSlices and the node: no kernel, no clock, no network."""
