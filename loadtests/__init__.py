"""Load tests: what the server costs, and how it behaves under load. Nothing here is installed with it."""
