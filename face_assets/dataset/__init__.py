"""Photos: sources, manifest, splits, decoding, inspection, duplicates, and the creation of data repositories."""
