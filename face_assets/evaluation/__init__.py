"""From vectors to figures: the gate, groups, hardest pairs, the reference for drift."""
