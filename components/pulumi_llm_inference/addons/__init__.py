"""What a cluster needs once: Prometheus, metrics adapter, KEDA, device plugin, node autoscaler."""
