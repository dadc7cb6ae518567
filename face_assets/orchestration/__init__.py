"""What all assets share in Dagster: partitions, pools, tags, metadata, artifacts between assets."""
