"""Autoscaling by the requests waiting."""
