"""A release from its parts to its tag: bundle, model card, comparison of two."""
