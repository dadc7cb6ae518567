"""Review by people: cases in doubt, decisions, and the commit that carries them out."""
