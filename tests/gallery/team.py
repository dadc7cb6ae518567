"""A team with a gallery in production: real commits, releases and engine; crops are drawn, so that no photo has to be detected."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from face_assets.biometrics.verification import evaluate
from face_assets.core.files import link_or_copy, write_json
from face_assets.core.params_yaml import parse_params
from face_assets.core.tables import write_rows
from face_assets.detection.detectors import crop_store
from face_assets.embedding.engine import Engine
from face_assets.embedding.engine_files import save_network
from face_assets.gallery.steps import enroll
from face_assets.gallery.verdict import judge_gallery
from face_assets.registry.decision import LET_THROUGH, gate_message
from face_assets.registry.git import git
from face_assets.registry.releases import Digests
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact
from face_assets.storage.content_store import Entry

PARAMS = """
detector: {image_size: 80, margin: 16, align: upright, choose: largest}
evaluation: {fpir: 0.01}
"""
DETECTOR = parse_params(PARAMS).detector
SIZE, CELLS, PHOTOS, TEST_PEOPLE = 80, 8, 3, 40
Folders = dict[str, list[str]]
"""Name of a folder → photos: "PERSON NUMBER", with a word of FAULTS behind it for a poor one."""
FAULTS = {"blurred", "tiny", "doubtful", "faceless"}


def photos_of(person: str, *numbers: int) -> list[str]:
    return [f"{person} {number}" for number in numbers or range(PHOTOS)]


def md5_of(photo: str) -> str:
    return hashlib.md5(photo.encode(), usedforsecurity=False).hexdigest()


def seed_of(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def draw(photo: str) -> tuple[dict[str, Any], np.ndarray]:
    """Facts and crop of a photo: its person's coloured tiles, and noise of its own. A twin has nearly the tiles of the other;
    "A&B" is the mean of two people."""
    person, number, *fault = photo.split()
    mixed = [np.random.default_rng(seed_of(one)).uniform(60, 200, (CELLS, CELLS, 3)) for one in person.removesuffix("'s-twin").split("&")]
    tiles = np.mean(mixed, axis=0)
    random = np.random.default_rng(seed_of(f"{person} {number}"))
    tiles = tiles + random.normal(0, 20, tiles.shape)
    crop = tiles.repeat(SIZE // CELLS, 0).repeat(SIZE // CELLS, 1)
    if "blurred" in fault:
        crop = np.broadcast_to(crop.mean(axis=(0, 1)), crop.shape) + np.linspace(-9, 9, SIZE)[:, None, None]
    else:
        crop = crop + random.normal(0, 15, crop.shape)
    side = 20.0 if "tiny" in fault else 90.0
    facts = {"status": "face", "reason": "", "faces": 1, "box": [10.0, 10.0, 10.0 + side, 10.0 + side], "width": 250, "height": 250}
    facts |= {"probability": 0.8 if "doubtful" in fault else 0.999}
    if "faceless" in fault:
        facts |= {"status": "no_face", "faces": 0}
    return facts, np.clip(crop, 0, 255).astype(np.uint8)


def save_engine_of_tiles(directory: Path) -> None:
    """Writes an engine whose embedding is the mean colour of each tile."""
    crops = ops.parameter([-1, SIZE, SIZE, 3], np.uint8)
    step = SIZE // CELLS
    parts = ops.reshape(ops.convert(crops, "f32"), np.array([-1, CELLS, step, CELLS, step, 3]), False)
    means = ops.reshape(ops.reduce_mean(parts, np.array([2, 4])), np.array([-1, CELLS * CELLS * 3]), False)
    vectors = ops.normalize_l2(ops.subtract(means, np.float32(130)), np.array([1]), 1e-9, "add")
    save_network(ov.Model([vectors], [crops], "tiles"), directory)
    facts = {"precision": "bf16", "whitening": "fixed", "embedding_size": CELLS * CELLS * 3, "image_size": SIZE}
    write_json(directory / "engine.json", facts)


@dataclass
class Team:
    """A clone, its workspace, and the artifacts of the steps before the gallery."""

    clone: Path
    folder: Path
    folders: Folders
    log: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.workspace = Workspace.load()
        (self.clone / "params.yaml").write_text(PARAMS)
        self.gallery_audit = self._artifact("gallery_audit", {"action": "report"})
        self.exported = self._artifact("exported_embedder", {})
        save_engine_of_tiles(self.exported.directory)
        self.audited = self._artifact("label_audit", {})
        rows = [(f"{photo}.jpg", md5_of(photo), photo.split()[0], "test", "face") for photo in self._test_photos()]
        write_rows(self.audited.directory / "faces.csv", ("path", "md5", "identity", "split", "status"), rows)
        self.evaluation = self._artifact(
            "embedder_evaluation",
            {"verification_threshold": self._evaluate(), "verification": {"weights": "tiles"}, "quality": {"scale": None}},
        )
        self.commit("Enrol the first people", self.folders)
        self.release()

    def _artifact(self, name: str, summary: dict[str, Any]) -> Artifact:
        directory = self.folder / name
        directory.mkdir(parents=True, exist_ok=True)
        return Artifact(name, f"{name}-1", directory, summary)

    def _test_photos(self) -> list[str]:
        return [photo for number in range(TEST_PEOPLE) for photo in photos_of(f"Tester{number}")]

    def _evaluate(self) -> float:
        photos = self._test_photos()
        self._store(photos)
        vectors = Engine(self.exported.directory / "embedder.xml", "bf16", 1).embed(np.stack([draw(photo)[1] for photo in photos]))
        found = evaluate(vectors, np.arange(len(photos)) // PHOTOS, 1e-3, 0)
        directory = self.folder / "embedder_evaluation"
        directory.mkdir(parents=True)
        write_json(directory / "evaluation.json", {"trained": found.to_json()})
        threshold = found.tar_at(1e-3).threshold
        assert threshold is not None
        return threshold

    def _store(self, photos: Sequence[str]) -> None:
        """Puts crops into the store, as if the photos had been detected."""
        new = [photo for photo in dict.fromkeys(photos) if photo not in self.known]
        drawn = [(md5_of(photo), *draw(photo)) for photo in new]
        crop_store(self.workspace, DETECTOR).put(
            Entry(md5, facts, crop.tobytes() if facts["status"] == "face" else None) for md5, facts, crop in drawn
        )
        self.known.update(new)

    def head(self) -> str:
        return git("rev-parse", "HEAD", cwd=self.clone).decode().strip()

    def commit(self, message: str, folders: Mapping[str, Sequence[str]]) -> str:
        """A commit of a gallery with these folders; returns its id."""
        files = [(f"{name}/{photo}.jpg", photo) for name, photos in folders.items() for photo in photos]
        self._store([photo for _, photo in files])
        listing = json.dumps([{"md5": md5_of(photo), "relpath": path} for path, photo in sorted(files)]).encode()
        md5 = hashlib.md5(listing, usedforsecurity=False).hexdigest()
        cached = self.clone / ".dvc" / "cache" / "files" / "md5" / md5[:2] / f"{md5[2:]}.dir"
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(listing)
        text = f"outs:\n- md5: {md5}.dir\n  nfiles: {len(files)}\n  hash: md5\n  path: gallery\n"
        (self.clone / "gallery.dvc").write_text(text)
        git("add", "gallery.dvc", "params.yaml", cwd=self.clone)
        git("commit", "-q", "--allow-empty", "-m", message, cwd=self.clone)
        self.workspace.repository.refresh()
        return self.head()

    def enrol(self, commit: str) -> Artifact:
        """The gallery of a commit."""
        return enroll(self.workspace, commit, self.audited, self.gallery_audit, self.evaluation, self.exported, self.log.append)

    def judge(self, commit: str) -> dict[str, str]:
        """The checks that the gallery of a commit fails, with their descriptions."""
        verdict = judge_gallery(self.workspace, commit, self.evaluation, self.exported, self.enrol(commit), self.log.append)
        return {name: found["description"] for name, found in verdict.summary["checks"].items() if not found["passed"]}

    def release(self) -> None:
        """Puts the newest commit's release into production."""
        commit, bundle = self.head(), self.folder / f"bundle {self.head()}"
        bundle.mkdir()
        gallery = self.enrol(commit)
        for source in (self.exported, self.evaluation):
            for file in source.directory.iterdir():
                link_or_copy(file, bundle / file.name)
        link_or_copy(gallery.directory / "gallery.npz", bundle / "gallery.npz")
        recognizer = {
            "detector": DETECTOR.model_dump(mode="json", exclude={"max_rejected"}),
            "max_megapixels": 100.0,
            "verification_threshold": self.evaluation.summary["verification_threshold"],
            "identification_threshold": gallery.summary["identification_threshold"],
        }
        write_json(bundle / "recognizer.json", recognizer)
        write_json(bundle / "provenance.json", {"dataset_version": "d1.dir", "artifacts": {"gallery": gallery.fingerprint}})
        release = self.workspace.releases.register(bundle, commit, commit, Digests("1", commit, commit), {}, {})
        self.workspace.stages.assign(release.version, gate_message(LET_THROUGH, commit))
        self.base = commit

    def back(self) -> Folders:
        """Goes back to the commit in production; returns its folders."""
        git("reset", "-q", "--hard", self.base, cwd=self.clone)
        return {name: list(photos) for name, photos in self.folders.items()}
