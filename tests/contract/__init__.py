"""What the package emits, against the schemas and standards of others."""
