"""Secrets of a serving folder.

- A server recognizes the platform's own requests, which are not counted as traffic.
- The models of the docker target recognize requests of keys that may receive embeddings.
- The web service recognizes the proxies before it, which state the caller.
"""

import os
import secrets
import tempfile
from pathlib import Path

from face_assets.core.files import file_lock

PROXY_TOKEN = "PROXY_TOKEN"
"""Variable with the proxies' secret in Compose, where the sign-in has it too."""


def internal_token(root: Path) -> str:
    """Returns the token of the platform's own requests."""
    return _token(root, "probe")


def embeddings_token(root: Path) -> str:
    """Returns the token that the gateway adds to requests of keys that may receive embeddings."""
    return _token(root, "embeddings")


def proxy_token(root: Path) -> str:
    """Returns the token by which the web service recognizes its proxies."""
    return os.environ.get(PROXY_TOKEN, "").strip() or _token(root, "proxy")


def _token(root: Path, name: str) -> str:
    """Returns a token of a serving folder, created at first use and readable by its owner alone."""
    file = root / f"{name}.token"
    if not file.is_file():
        with file_lock(root / f".{name}.lock"):
            if not file.is_file():
                descriptor, aside = tempfile.mkstemp(prefix=f".{name}.", dir=root)  # of mode 0600
                with os.fdopen(descriptor, "w", encoding="utf-8") as written:
                    written.write(secrets.token_hex(16))
                os.replace(aside, file)
    return file.read_text(encoding="utf-8")
