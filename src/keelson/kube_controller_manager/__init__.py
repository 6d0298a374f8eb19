"""kube-controller-manager: the controllers that make the cluster what its objects say."""
