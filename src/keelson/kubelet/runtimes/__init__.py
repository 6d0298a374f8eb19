"""The port to the container runtime (CRI v1) and its implementations: `cri` over gRPC, `fakes` in memory."""
