"""Errors, files, processes, settings, parameters and fingerprints, which every room needs."""
