"""What the API server passes on: logs, exec, attach and port-forward to kubelets, proxied requests to whom they name."""
