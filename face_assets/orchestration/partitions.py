"""Partitions: every asset up to the release is kept by the commit that it was made from, what tells of traffic by the hour."""

import dagster as dg

commits = dg.DynamicPartitionsDefinition(name="commit")
hours = dg.DynamicPartitionsDefinition(name="hour")  # in UTC, those with traffic alone: of a window of time the UI lists every hour


def add_commit(instance: dg.DagsterInstance, commit: str) -> None:
    """Adds the partition of the commit (full sha) if it is missing."""
    if not instance.has_dynamic_partition(str(commits.name), commit):
        instance.add_dynamic_partitions(str(commits.name), [commit])
