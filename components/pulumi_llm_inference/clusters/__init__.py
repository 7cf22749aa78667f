"""Kubernetes clusters, and the identities that their pods read storage with."""
