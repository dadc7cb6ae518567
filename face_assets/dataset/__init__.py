"""The photos: manifest, splits, duplicates, alignment, and the synthetic people of the demo."""
