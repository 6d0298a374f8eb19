"""kube-apiserver: the Kubernetes API on etcd."""
