"""Becomes another program, which the kernel ends with its parent: `python -m face_assets.serving.frontend.end_with_parent PARENT COMMAND…`.

It is a separate program, for a `preexec_fn` makes Python fork, and a process with gRPC's threads can hang between fork and exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Runs the command."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent has ended")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
