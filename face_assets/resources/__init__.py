"""What Dagster hands to assets: the workspace and the handles between them."""
