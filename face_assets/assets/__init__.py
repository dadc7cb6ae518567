"""Dagster's assets and their checks, one module a group; each body calls a step of the pipeline and attaches metadata."""
