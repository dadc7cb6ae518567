"""Peak memory of a running embedded server under the worst photos that its default limits take.

python -m benchmarks.request_memory HOST:GRPC_PORT PID     PID: of its frontend, as `face-assets status` says
"""

import io
import struct
import sys
import threading
import time
import zlib
from collections import Counter

import numpy as np
import psutil
from PIL import Image

from face_assets.core.errors import UserError
from face_assets.serving.client import RecognizerClient

SIDE = 4990  # 24.9 megapixels
CALLERS, SECONDS = 16, 12.0


def main() -> None:
    """Prints megabytes (proportional set size) at rest and at the peak, and how the photos were answered."""
    address, pid = sys.argv[1], int(sys.argv[2])
    photos = [deep_png(SIDE, SIDE), noise(3600, 3700)]
    print(f"at rest: {memory(pid):.0f} MB; photos of {', '.join(f'{len(one) / 1e6:.1f} MB' for one in photos)}", flush=True)
    answers: Counter[str] = Counter()
    callers = [threading.Thread(target=ask, args=(address, photos[number % len(photos)], answers)) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    peak = 0.0
    while any(caller.is_alive() for caller in callers):
        peak = max(peak, memory(pid))
        time.sleep(0.05)
    print(f"peak with {CALLERS} callers: {peak:.0f} MB; {dict(answers)}")


def memory(pid: int) -> float:
    """Megabytes of the process and all that it started."""
    frontend, total = psutil.Process(pid), 0.0
    for one in (frontend, *frontend.children(recursive=True)):
        try:
            total += one.memory_full_info().pss / 1e6
        except psutil.Error:  # ended meanwhile
            continue
    return total


def ask(address: str, photo: bytes, answers: Counter[str]) -> None:
    """Asks again and again."""
    client, ends = RecognizerClient(address), time.monotonic() + SECONDS
    while time.monotonic() < ends:
        try:
            client.identify(photo)
            answers["answered"] += 1
        except UserError as error:
            answers[str(error)] += 1


def deep_png(width: int, height: int) -> bytes:
    """One colour in RGBA with 16 bits each: few bytes, and the most memory a pixel."""
    row, packed = b"\0" + b"\x12\x34" * 4 * width, zlib.compressobj(9)
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def noise(width: int, height: int) -> bytes:
    """A JPEG of many bytes that is decoded beside others."""
    output = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)).save(output, "JPEG", quality=90)
    return output.getvalue()


if __name__ == "__main__":
    main()
