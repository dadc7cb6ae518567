"""Rights of an API key, and which of them a request to the web service needs. The gateway and the service decide by the same table."""

import re
from collections.abc import Iterable

from face_assets.core.errors import UserError

IDENTIFY, EMBEDDINGS, PEOPLE, OPERATE = "identify", "embeddings", "people", "operate"
RIGHTS = {
    IDENTIFY: "send photos and learn who is on them",
    EMBEDDINGS: "receive embeddings, from which a face can be reconstructed",
    PEOPLE: "list, enrol, change and remove people; explain an answer by their photos",
    OPERATE: "everything else of the web service: reviews, releases, records",
}
TOKEN_HEADER, NAME_HEADER, RIGHTS_HEADER = "face-assets-proxy", "face-assets-caller", "face-assets-rights"
"""Headers of the proxies before the web service: their secret, without which the others are ignored, the caller's name, and rights with
commas."""
NEW_KEY = frozenset({IDENTIFY})
EARLIER_KEY = frozenset({IDENTIFY, EMBEDDINGS})
"""Rights of a key without stated rights, which a version without rights made: what such a key could do."""
OPEN = r"^/api/v1/(status|alive)$|^/openapi\.json$"
"""Paths of the web service for every key."""
PATHS = {
    IDENTIFY: r"^/api/v1/(recognize|verify|detect|recognition/(embeddings/)?recognize|verification/(embeddings/)?verify|detection/detect|"
    r"recognition/(embeddings/)?faces/[^/]+/verify)$",
    PEOPLE: r"^/api/v1/(explain|people|commits|recognition/(subjects|faces)|static/[^/]+/images)(/.*)?$",
}
"""Right → paths that need it. The first that matches decides; other paths need OPERATE."""


def right_for(path: str) -> str | None:
    """Returns the right that a decoded path of the web service needs, None where any key will do."""
    if re.fullmatch(OPEN, path):
        return None
    return next((right for right, pattern in PATHS.items() if re.fullmatch(pattern, path)), OPERATE)


def parse_rights(names: Iterable[str]) -> frozenset[str]:
    """Returns rights by their names. Raises UserError for an unknown one, or for none."""
    found = frozenset(names)
    if unknown := sorted(found - set(RIGHTS)):
        raise UserError(f"There is no right named {unknown[0]!r}: there are {', '.join(RIGHTS)}.")
    if not found:
        raise UserError(f"A key needs a right: {', '.join(RIGHTS)}.")
    return found


def rights_text(rights: Iterable[str]) -> str:
    """Returns rights as headers and files state them: in the order of RIGHTS, with commas."""
    present = set(rights)
    return ",".join(right for right in RIGHTS if right in present)
