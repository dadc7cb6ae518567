"""What only the server runs: dynamic batching, metrics, traffic."""
