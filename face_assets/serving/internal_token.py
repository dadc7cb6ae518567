"""The secret by which a server recognizes the platform's own requests, which are not counted as traffic."""

import os
import secrets
import tempfile
from pathlib import Path

from face_assets.core.files import file_lock


def internal_token(root: Path) -> str:
    """Returns the token of a serving folder, created at first use and readable by its owner alone."""
    file = root / "probe.token"
    if not file.is_file():
        with file_lock(root / ".probe.lock"):
            if not file.is_file():
                descriptor, aside = tempfile.mkstemp(prefix=".probe.", dir=root)  # of mode 0600
                with os.fdopen(descriptor, "w", encoding="utf-8") as written:
                    written.write(secrets.token_hex(16))
                os.replace(aside, file)
    return file.read_text(encoding="utf-8")
