"""The serving image's HEALTHCHECK: whether the recognizer, with all that it asks, is ready."""

import sys
import urllib.request

try:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy for the world outside is none for this server
    with opener.open("http://127.0.0.1:8000/v2/models/face_recognizer/ready", timeout=3) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    sys.exit(str(error))
