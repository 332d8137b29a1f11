"""The runs: one arm on one repeat each, trained in worker processes and kept as they end."""
