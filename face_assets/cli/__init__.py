"""The command `face-assets`."""
