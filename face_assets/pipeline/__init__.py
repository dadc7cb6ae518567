"""What each asset does, as plain functions over the rooms: no Dagster here, so that every step can be run and tested alone."""
