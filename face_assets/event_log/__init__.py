"""Dagster's event log, read: runs, how they ended, lineage, totals."""
