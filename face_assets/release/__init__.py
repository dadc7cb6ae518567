"""Releases: bundle, model card, promotion to production, comparison of two."""
