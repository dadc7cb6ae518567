"""Evaluation of embeddings: the gate, groups, hardest pairs, the reference for drift."""
