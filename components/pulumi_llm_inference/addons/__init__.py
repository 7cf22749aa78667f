"""What a cluster needs once: Prometheus, adapter, KEDA, groups, device plugin, node autoscaler."""
