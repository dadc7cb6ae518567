"""Measurements of `make bench`: each figure with its reference, in one run on one machine."""
