"""Erasure: everything of a person, everywhere that the platform put it, with a certificate."""
