"""Synthetic people, for the demo and the tests."""
