"""The kubelet's own HTTPS server (port 10250): logs, exec, attach, port-forward, pods, metrics."""
