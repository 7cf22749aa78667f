"""Runs a stack program without engine, cluster or credentials, and shows what it would make."""
