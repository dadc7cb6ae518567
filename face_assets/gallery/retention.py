"""Standing of the people of a commit by its register: who is enrolled without an entry in force, and whose time has passed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from face_assets.dataset.photo_folders import person_key
from face_assets.dataset.steps import PHOTOS
from face_assets.gallery.people import People
from face_assets.gallery.people_commits import people_at
from face_assets.gallery.people_register import PeopleRegister, Standing, read_register
from face_assets.registry.watch import REGISTER
from face_assets.registry.workspace import Workspace

ORDER = ("past", "no entry", "not yet", "soon", "in force")


@dataclass(frozen=True)
class Person:
    """A person of a commit. is_enrolled: and not only among the photos."""

    standing: Standing
    is_enrolled: bool

    @property
    def is_due(self) -> bool:
        """True where something is to be done: an end to come is near, or the person is to be erased, or may not be enrolled."""
        state = self.standing.state
        return state in ("past", "soon") or (self.is_enrolled and state != "in force")


@dataclass(frozen=True)
class Check:
    """The result on enrolled people: passed where each has an entry in force. counts: of people by state."""

    passed: bool
    description: str
    counts: dict[str, int]


def people_of_register(workspace: Workspace, commit: str, day: date) -> list[Person] | None:
    """The people of a commit's photos and gallery by what is due, then by name; None without a register. Raises UserError."""
    register = read_register(workspace.repository, commit)
    if register is None:
        return None
    enrolled = people_at(workspace, commit).names
    names = People.of(workspace.repository.files(commit, PHOTOS)).names | enrolled
    found = [Person(register.standing(name, day), key in enrolled) for key, name in names.items()]
    return sorted(found, key=lambda one: (ORDER.index(one.standing.state), one.standing.name))


def check_enrolled(register: PeopleRegister | None, names: Iterable[str], day: date) -> Check:
    """The check of a gallery's people on a day. It has counts and no names, for the event log keeps it."""
    if register is None:
        return Check(True, f"there is no {REGISTER}, so anybody may be enrolled", {})
    standings = [register.standing(name, day) for name in {person_key(name): name for name in names}.values()]
    counts = {state: sum(one.state == state for one in standings) for state in ORDER}
    bad = sum(not one.is_in_force for one in standings)
    if not bad:
        return Check(True, f"each of {len(standings):,} people has an entry in force; {counts['soon']:,} end within 30 days", counts)
    parts = ", ".join(
        f"{counts[state]:,} {text}"
        for state, text in (("no entry", "without an entry"), ("not yet", "before its time"), ("past", "whose time has passed"))
        if counts[state]
    )
    return Check(
        False,
        f"{bad:,} of {len(standings):,} enrolled people have no entry of {REGISTER} in force ({parts}): "
        "`face-assets people --due` names them",
        counts,
    )
