"""The frontend of the embedded server: the only listener on its ports, which rejects what would end Triton or its memory."""
