"""Runtime of the server: dynamic batching, limits, metrics, traffic."""
