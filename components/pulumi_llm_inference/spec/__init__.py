"""What a user asks for, as plain data. Knows neither Pulumi nor Kubernetes' API."""
