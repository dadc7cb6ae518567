"""Reads of Dagster's event log: runs and their outcomes, lineage, totals."""
