"""Enrolled people: templates, calibration, search."""
