"""The size of a WebP picture from its header, before its reader allocates memory for the pixels."""


def webp_size(content: bytes) -> tuple[int, int]:
    """Width and height by RFC 9649. Raises ValueError for an invalid header."""
    kind, data = content[12:16], content[20:30]
    if len(data) == 10 and kind == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if len(data) == 10 and kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
    if len(data) == 10 and kind == b"VP8L" and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise ValueError("the WebP header is cut or unknown")
