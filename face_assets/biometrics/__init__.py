"""Figures of comparison by ISO/IEC 19795-1: scores, curves, thresholds, and their plots."""
