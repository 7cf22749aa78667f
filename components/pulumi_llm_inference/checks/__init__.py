"""What can be known to fail before anything is deployed: pure functions over specs.

Constructors, preview and policies call the same ones. Each yields problems; none raises.
"""
