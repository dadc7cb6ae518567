"""Parts that the tests of the web service share."""

from face_assets.core.errors import UserError
from face_assets.web.recognizer import Endpoint

TOKEN = "a-secret-of-the-tests"
"""By which a service recognizes its proxy."""


def endpoint_of_nobody() -> Endpoint:
    """Refuses, as where no server was started."""
    raise UserError("No server was started: `face-assets up`.")
