"""Sensors, schedules, services and retention: runs that start by themselves."""
