"""Age of a release's embedder: the commit that it was trained for, and what was added to the photos since."""

from typing import TypedDict

from face_assets.core import identifiers
from face_assets.core.errors import UserError
from face_assets.registry.releases import Release


class TrainingAge(TypedDict):
    """trained_time: of the commit, ISO 8601; kept_from: the first release with this embedder, None for that itself."""

    trained_commit: str
    trained_time: str
    kept_from: str | None
    photos_since: int
    people_since: int


def training_age(release: Release) -> TrainingAge | None:
    """The age recorded in release.json; None for starting weights, for releases of earlier versions, and where the facts are damaged."""
    found = release.lineage.training
    try:
        kept = found["kept_from"]
        return TrainingAge(
            trained_commit=identifiers.commit_id(found["trained_commit"]),
            trained_time=str(found["trained_time"]),
            kept_from=identifiers.version(kept) if kept else None,
            photos_since=int(found["photos_since"]),
            people_since=int(found["people_since"]),
        )
    except (KeyError, TypeError, ValueError, UserError):
        return None
