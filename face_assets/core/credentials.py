"""Removal of secrets from messages, logs and events: users and passwords in URLs, and the environment's keys for DVC remotes."""

import os
import re

CREDENTIALS = re.compile(r"(?<=://)[^\s/\"']+@")
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def without_credentials(text: str) -> str:
    """The text without users and passwords in URLs and without the environment's keys."""
    for name in SECRET_VARIABLES:
        if value := os.environ.get(name):
            text = text.replace(value, f"${name}")
    return CREDENTIALS.sub("", text)
