"""Command line of the platform."""

import sys

if sys.platform != "linux":  # before the modules that need Linux are imported
    sys.exit(
        f"Face Assets needs Linux, and this is {sys.platform}: run it on a Linux machine, in a virtual machine, or on Windows in WSL 2."
    )
