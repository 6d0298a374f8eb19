"""What the API server passes on: logs and commands to kubelets, proxied requests to whomever they name."""
