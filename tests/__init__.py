"""Tests of the package, its stacks and its tools."""
