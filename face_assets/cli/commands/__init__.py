"""The commands of `face-assets`, by subject."""
