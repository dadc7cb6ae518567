"""Dagster code shared by all assets: partitions, pools, tags, metadata, conditions, the IO manager."""
