"""Commits as partitions: every asset up to the release is kept by the commit that it was made from."""

import dagster as dg

commits = dg.DynamicPartitionsDefinition(name="commit")


def add_commit(instance: dg.DagsterInstance, commit: str) -> None:
    """Makes the commit (full sha) a partition, if it is none yet."""
    if not instance.has_dynamic_partition(str(commits.name), commit):
        instance.add_dynamic_partitions(str(commits.name), [commit])
