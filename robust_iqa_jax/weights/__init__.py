"""Reading published weights without executing them, and their name maps."""
