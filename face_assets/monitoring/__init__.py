"""Monitoring of server and pipeline: metrics, alerts, dashboards, drift, and feedback from the field."""
