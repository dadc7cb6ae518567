"""What belongs in no sentence, log or event: users and passwords in URLs, and keys that the environment holds for DVC's remotes."""

import os
import re

CREDENTIALS = re.compile(r"(?<=://)[^\s/\"']+@")
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def without_credentials(text: str) -> str:
    """The text without user and password in what looks like a URL, and without the environment's keys."""
    for name in SECRET_VARIABLES:
        if value := os.environ.get(name):
            text = text.replace(value, f"${name}")
    return CREDENTIALS.sub("", text)
