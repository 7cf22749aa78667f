"""How the servers' metrics reach Prometheus."""
