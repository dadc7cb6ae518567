"""The comparison of a commit's gallery with production's: templates, photos and vectors that the gate's rules need, and their findings."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.audit.gallery_faces import GALLERY
from face_assets.biometrics.quality import QualityScale, qualities
from face_assets.core.errors import UserError
from face_assets.core.files import read_json
from face_assets.core.params import Params
from face_assets.dataset.photo_folders import person_key
from face_assets.detection.detectors import crop_store, served_detector
from face_assets.detection.same_faces import LEAST_OVERLAP, overlap, same_faces
from face_assets.detection.steps import Face, align
from face_assets.embedding.vectors import engine_faces, engine_vectors, served_vectors
from face_assets.evaluation.face_quality import crop_measures
from face_assets.gallery import gate
from face_assets.gallery.changes import Changes, Enrolment, changes_between, with_counts
from face_assets.gallery.earlier_names import returned_people
from face_assets.gallery.enrolled_photos import listed_people, read_enrolled, source_of
from face_assets.gallery.enrolment import templates_of
from face_assets.gallery.first_faces import first_releases, had_gallery
from face_assets.gallery.search import Gallery
from face_assets.registry.releases import Release
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

UNLIKE_FAR = 1e-2


@dataclass
class Comparison:
    """The gallery of a commit and that of production, as far as the rules need them.

    line: production's assignment and those before it of its line (`Stages.line`), empty without production; earlier: releases before
    production's, of any line; acknowledged: keys of people.
    """

    workspace: Workspace
    commit: str
    params: Params
    line: Sequence[Assignment]
    earlier: Sequence[Release]
    acknowledged: Collection[str]
    evaluation: Artifact
    exported: Artifact
    gallery: Artifact
    log: Log

    def __post_init__(self) -> None:
        enrolled = Gallery.load(self.gallery.directory)
        self.production = self.line[0].release if self.line else None
        self.after = gate.Templates(
            enrolled.names, enrolled.templates, levels_of(self.evaluation.directory, self.evaluation.summary, self.gallery.summary)
        )
        self.before = self._templates(self.production) if self.production else None
        self.listed, former = self._enrolments()
        self.changes = (
            changes_between(former, self.listed) if former else Changes(frozenset(self.listed.photos), frozenset(), frozenset(), {})
        )
        faces, known = read_enrolled(self.gallery), former.photos if former else {}
        filed_before = [face.md5 in known.get(person_key(face.identity), ()) for face in faces]
        counts = Counter(person_key(face.identity) for face in faces)
        kept = Counter(person_key(face.identity) for face, is_old in zip(faces, filed_before, strict=True) if is_old)
        self.changes, again = with_counts(self.changes, self._counts(), counts, kept)
        chosen = [place for place, face in enumerate(faces) if person_key(face.identity) in self.changes.touched]
        self.faces, self.filed_now = [faces[place] for place in chosen], [not filed_before[place] for place in chosen]
        self.photos = [
            gate.Photo(face.path, face.identity, is_new or person_key(face.identity) in again)
            for face, is_new in zip(self.faces, self.filed_now, strict=True)
        ]

    def findings(self) -> list[gate.Finding]:
        """The findings of all rules."""
        changes, present = self.changes, self.after.rows()
        self._restore_crops()
        found = list(gate.one_name_a_face(self.after, changes))
        newcomers = [place for place, face in enumerate(self.faces) if person_key(face.identity) in changes.new]
        vectors = served_vectors(self.workspace, self.params, self.exported, [self.faces[place].crop_key for place in newcomers], self.log)
        found += gate.photos_of_new(self.after, [self.photos[place] for place in newcomers], vectors, changes)
        new = [place for place, is_new in enumerate(self.filed_now) if is_new]
        without = [self.listed.names[key] for key in sorted(changes.new - present.keys())] if self._has_gallery else []
        qualities = self._qualities([self.faces[place].crop_key for place in new])
        found += gate.good_photos([self.photos[place] for place in new], qualities, without, self.params.gallery)
        if self.before:
            found += gate.vanished_people({person_key(name): name for name in self.before.names}, changes, present)
            found += self._beside_production(self.before)
            found += self._beside_first_faces({(finding.check, finding.people) for finding in found})
            found += returned_people(self.listed, (changes.new & present.keys()) - changes.renamed.keys(), self._earlier())
        return found

    @property
    def is_curated(self) -> bool:
        """True where the people have a folder of their own, or had one in the line, so that its removal makes the gate no milder."""
        if self._has_gallery:
            return True
        version = had_gallery(self.workspace, self.line)
        if version:
            self.log(f"gallery.dvc of {version} is gone: photos.dvc is judged as strictly, until a person promotes a release.")
        return version is not None

    @property
    def _has_gallery(self) -> bool:
        return source_of(self.workspace.repository, self.commit) == GALLERY

    def _beside_production(self, before: gate.Templates) -> list[gate.Finding]:
        """The findings of the rules that compare with production's templates, under production's embedder."""
        assert self.production is not None
        found, unseen = self._against(self.production, before, self.changes)
        return [*found, *gate.unseen_photos(unseen, self.changes)]

    def _beside_first_faces(self, known: Collection[tuple[str, tuple[str, ...]]]) -> list[gate.Finding]:
        """The findings about changed people beside the oldest release of the line that has them, where production's is not the one.

        Each step of a name towards another face may agree with production, and the last one with the first no longer. Acknowledged people
        are left out, and the people and rules in doubt by then, `known`.
        """
        keys = self.changes.changed - set(self.acknowledged)
        first = first_releases(self.workspace, self.line, keys, self.params.split, lambda release: self._templates(release).rows())
        found: list[gate.Finding] = []
        for release in {one.commit: one for one in first.values()}.values():
            people = frozenset(key for key, one in first.items() if one.commit == release.commit)
            alone = Changes(frozenset(), people, frozenset(), {})
            found += self._against(release, self._templates(release), alone)[0]
        return [finding for finding in found if (finding.check, finding.people) not in known]

    def _against(self, release: Release, before: gate.Templates, changes: Changes) -> tuple[list[gate.Finding], list[gate.Photo]]:
        """The findings of the rules that compare changed people with a release's templates, and the photos in which it does not find the
        enrolled face."""
        judged = changes.changed | (changes.new if changes.vanished else frozenset())
        places = [place for place, face in enumerate(self.faces) if person_key(face.identity) in judged]
        if not places:
            return [], []
        seen, vectors = self._by_release(release, [self.faces[place] for place in places])
        photos = [self.photos[places[one]] for one in seen]
        unseen = [self.photos[place] for place in sorted({*places} - {places[one] for one in seen})]
        again = templates_of(vectors, [photo.name for photo in photos])
        after = gate.Templates(again.names, again.templates, before.levels)
        enrolled = {person_key(face.identity): face.identity for face in self.faces}
        found = list(gate.kept_faces(before, after, changes, enrolled))
        return [*found, *gate.photos_of_changed(before, photos, vectors, changes)], unseen

    def _by_release(self, release: Release, faces: Sequence[Face]) -> tuple[list[int], np.ndarray]:
        """Places of the photos in which a release's detector finds the face that is enrolled, and its embeddings by it, float32 (n, d)."""
        bundle = self.workspace.releases.bundle(release)
        recognizer = read_json(bundle / "recognizer.json")
        ours, detector = self.params.detector, served_detector(bundle)
        chosen, source = {face.md5: face.crop_key for face in faces}, source_of(self.workspace.repository, self.commit)
        found = same_faces(self.workspace, self.commit, source, chosen, (ours, detector), recognizer["max_megapixels"], self.log)
        shown = crop_store(self.workspace, ours).facts(chosen.values())
        boxes = crop_store(self.workspace, detector).facts(found.values())
        same = {md5 for md5, key in found.items() if overlap(shown[chosen[md5]]["box"], boxes[key]["box"]) >= LEAST_OVERLAP}
        seen = [place for place, face in enumerate(faces) if face.md5 in same]
        keys = [found[faces[place].md5] for place in seen]
        return seen, engine_vectors(self.workspace, bundle, detector, keys, self.log)

    def _templates(self, release: Release) -> gate.Templates:
        """A release's templates and levels, from its bundle."""
        bundle = self.workspace.releases.bundle(release)
        enrolled, recognizer = Gallery.load(bundle), read_json(bundle / "recognizer.json")
        holder = "production" if release is self.production else release.version
        return gate.Templates(enrolled.names, enrolled.templates, levels_of(bundle, recognizer, recognizer), holder)

    def _counts(self) -> dict[str, int]:
        """Number of photos in each of production's templates, by key of the person."""
        if self.production is None:
            return {}
        with np.load(self.workspace.releases.bundle(self.production) / "gallery.npz", allow_pickle=False) as stored:
            return {person_key(str(name)): int(count) for name, count in zip(stored["names"], stored["counts"], strict=True)}

    def _enrolments(self) -> tuple[Enrolment, Enrolment | None]:
        """The people of this commit by their photos, and those of production, None without it.

        Where both commits have one pointer, nobody has changed. Where production's list is not to be had, all its people count as changed.
        """
        repository, known = self.workspace.repository, [*self.after.names, *(self.before.names if self.before else ())]
        if not self.production or not self.before:
            return self._listed(self.commit, known), None
        enrolled = self.before.rows()
        pointers = [repository.pointer(commit, source_of(repository, commit)) for commit in (self.commit, self.production.trained_commit)]
        listed = self._listed(self.commit, known)
        if pointers[0] and pointers[1] and pointers[0].md5 == pointers[1].md5:
            before = listed
        else:
            try:
                before = self._listed(self.production.trained_commit, known)
            except UserError as error:
                self.log(f"{error} All of production's people are compared.")
                before = Enrolment.of((name, "") for name in self.before.names)
        names = {key: self.before.names[row] for key, row in enrolled.items()}
        return listed, Enrolment(names, {key: before.photos.get(key, frozenset()) for key in enrolled})

    def _listed(self, commit: str, known: Iterable[str]) -> Enrolment:
        return listed_people(self.workspace.repository, commit, self.params.split, known)

    def _earlier(self) -> Iterator[tuple[str, Enrolment]]:
        """Versions and people of the releases before production's, each list once; of those whose list is on this machine."""
        repository, seen = self.workspace.repository, set()
        for release in self.earlier:
            source = source_of(repository, release.trained_commit)
            pointer = repository.pointer(release.trained_commit, source)
            if pointer and pointer.md5 not in seen and repository.is_listed(release.trained_commit, source):
                seen.add(pointer.md5)
                yield release.version, self._listed(release.trained_commit, ())

    def _restore_crops(self) -> None:
        """Detects the touched people's photos again of which the crop store was removed since the gallery was made."""
        source, limit = source_of(self.workspace.repository, self.commit), self.params.photos.max_megapixels
        others = {face.md5 for face in self.faces if face.crop_key != face.md5}
        align(self.workspace, self.commit, source, [face.md5 for face in self.faces], self.params.detector, limit, self.log, others)

    def _qualities(self, keys: Sequence[str]) -> list[gate.Quality]:
        """The quality of stored crops."""
        wanted = list(dict.fromkeys(keys))
        raw = engine_faces(self.workspace, self.exported.directory, self.params.detector, wanted, self.log).raw
        quality = qualities(QualityScale.from_json(self.evaluation.summary["quality"]["scale"]), raw)
        measured = crop_measures(self.workspace, self.params.detector, wanted)
        rows = zip(wanted, *measured.T.tolist(), quality.tolist(), strict=True)
        found = {key: gate.Quality(probability, side, sharpness, one) for key, probability, side, sharpness, one in rows}
        return [found[key] for key in keys]


def levels_of(directory: Path, verification: dict[str, Any], identification: dict[str, Any]) -> gate.Levels:
    """The levels of an embedder, from its evaluation.json in `directory` and its two thresholds."""
    match = float(verification["verification_threshold"])
    points = read_json(directory / "evaluation.json")["trained"]["tar"]
    unlike = next((point["threshold"] for point in points if point["far"] == UNLIKE_FAR), None)
    return gate.Levels(match, float(identification["identification_threshold"]), None if unlike is None else min(float(unlike), match))
