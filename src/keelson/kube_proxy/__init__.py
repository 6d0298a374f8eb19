"""kube-proxy: Services' virtual addresses on one node, as one nftables table per address family."""
