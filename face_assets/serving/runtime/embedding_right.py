"""The right to receive embeddings: the gateway adds a secret to requests of the keys that have it, as a header that Triton forwards.

A server without the secret, such as the embedded one, returns embeddings to every caller.
"""

import hmac
import json
import os

HEADER = "face-assets-embeddings"
TOKEN = "FACE_ASSETS_EMBEDDINGS_TOKEN"


def may_receive_embeddings(parameters: str) -> bool:
    """Returns True for a request whose parameters, as JSON, contain the secret of this server, or where it has none."""
    return has_token(parameters, HEADER, token) if (token := os.environ.get(TOKEN, "")) else True


def own_parameters() -> dict[str, str]:
    """Returns the parameters of a model's request to the embedder."""
    token = os.environ.get(TOKEN, "")
    return {HEADER: token} if token else {}


def has_token(parameters: str, name: str, token: str) -> bool:
    """Returns True where a request's parameters, as JSON, contain a secret under a name."""
    if not token or name not in parameters:
        return False
    try:
        stated = json.loads(parameters)[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(stated, str) and hmac.compare_digest(stated.encode("utf-8", "surrogatepass"), token.encode())
