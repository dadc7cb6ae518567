"""Partitions and jobs: what may be materialized, and together with what."""
