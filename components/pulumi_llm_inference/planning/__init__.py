"""What a deployment will need and cost, before there is one. Plain arithmetic on plain data."""
