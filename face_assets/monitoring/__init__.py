"""What the server sees and the pipeline does, as figures: metrics, their alerts and dashboards, and labels from the field."""
