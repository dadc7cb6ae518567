"""Names that earlier releases enrolled, by which a name could get another face in two steps: its person goes, and another one comes."""

from collections.abc import Collection, Iterable, Iterator

from face_assets.gallery.changes import Enrolment
from face_assets.gallery.gate import FACES, Finding
from face_assets.registry.releases import Release
from face_assets.registry.stages import Stages

MOST = 20


def earlier_releases(stages: Stages) -> list[Release]:
    """The last MOST releases that were in production before the present one, the newest first."""
    every = {assignment.release.commit: assignment.release for assignment in reversed(stages.effective())}
    return list(every.values())[1 : MOST + 1]


def returned_people(listed: Enrolment, new: Collection[str], earlier: Iterable[tuple[str, Enrolment]]) -> Iterator[Finding]:
    """New people whose name an earlier release enrolled, with a photo that it did not have under the name.

    new: keys; earlier: versions and their people, the newest first.
    """
    left = set(new)
    for version, before in earlier if left else ():
        for key in sorted(left & before.photos.keys()):
            left.remove(key)
            if not listed.photos[key] <= before.photos[key]:
                text = f"{listed.names[key]} was enrolled up to {version} and is enrolled anew with other photos, maybe of somebody else"
                yield Finding(FACES, (listed.names[key],), text, enrolled=True)
        if not left:
            return
