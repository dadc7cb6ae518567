"""Process of the embedded server: starts Triton on private Unix sockets, listens on its ports, and ends with it.

Run in the server's folder, whose address.json says where to listen: `python -m face_assets.serving.frontend MAX_BYTES COMMAND…`.
"""

import asyncio
import json
import resource
import signal
import sys
from pathlib import Path

from face_assets.serving.frontend.shared_memory import take_own_shared_memory


async def run(max_bytes: int, command: list[str]) -> int:
    """Serves until a signal, or until Triton cannot be kept running; returns its exit status.

    Raises OSError or RuntimeError for a port in use.
    """
    from face_assets.serving.frontend.bounds import Bounds
    from face_assets.serving.frontend.grpc import serve_grpc
    from face_assets.serving.frontend.http import HttpFrontend, serve_http
    from face_assets.serving.frontend.supervision import keep

    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    address = json.loads(Path("address.json").read_text(encoding="utf-8"))
    host, ports, bounds = address["host"], address["ports"], Bounds.of(max_bytes, address["key"])
    inference, metrics = (HttpFrontend(f"sockets/{name}", bounds) for name in ("http", "metrics"))
    await serve_http(inference.handle, host, ports["http"], bounds.largest)
    await serve_http(metrics.metrics, host, ports["metrics"], bounds.largest)
    grpc = await serve_grpc(f"sockets/grpc:{ports['grpc']}", bounds, host, ports["grpc"])
    status = await keep(command, stopped, bounds.pending)
    await grpc.stop(0)
    return status


def main() -> None:
    """Runs the command."""
    try:
        take_own_shared_memory()
    except OSError as error:
        print(f"Other users of this machine can read the server's shared memory: {error}", file=sys.stderr, flush=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    sys.exit(asyncio.run(run(int(sys.argv[1]), sys.argv[2:])))


if __name__ == "__main__":
    main()
