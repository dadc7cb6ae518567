"""Users and passwords in URLs, which belong in no sentence, log or event."""

import re

CREDENTIALS = re.compile(r"(?<=://)[^\s/\"']+@")
