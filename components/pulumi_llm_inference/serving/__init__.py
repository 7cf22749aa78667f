"""Model servers on Kubernetes."""
