"""The step recognizer_release: the immutable bundle, its tag, and its promotion."""

import csv
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.biometrics.quality import QualityScale
from face_assets.core.files import link_or_copy, read_json, write_json, write_text
from face_assets.core.fingerprint import file_digest, fingerprint, tree_digest
from face_assets.core.params import Params
from face_assets.core.provenance import environment
from face_assets.core.step_versions import step_version
from face_assets.detection.detectors import crop_store, detector_fingerprint, detector_in_words, detector_networks, recorded_detector
from face_assets.detection.steps import read_faces
from face_assets.embedding.engine_files import engine_files, network_digests
from face_assets.embedding.export_steps import write_export_record
from face_assets.embedding.onnx_embedder import embedder_in_words
from face_assets.embedding.retraining import training_facts
from face_assets.embedding.training_record import read_record, write_record
from face_assets.embedding.vectors import served_vectors
from face_assets.evaluation.feature_histograms import FORMAT
from face_assets.evaluation.group_figures import attributes_digest, groups_markdown
from face_assets.evaluation.production_line import production_line
from face_assets.evaluation.reference import FILE as REFERENCE
from face_assets.evaluation.steps import evaluate_embedder
from face_assets.evaluation.stress_table import name_of
from face_assets.gallery.template_index import FACTS as INDEX_FACTS
from face_assets.gallery.template_index import FILES as INDEX_FILES
from face_assets.gallery.verdict import judge_gallery, refusals
from face_assets.registry.releases import Digests, Lineage, Release
from face_assets.registry.workspace import Log, Workspace
from face_assets.release.card_facts import CardFacts
from face_assets.release.compatibility import measure_lineage
from face_assets.release.model_card import model_card
from face_assets.release.promotion import Judge, stage_release
from face_assets.release.traffic_reference import release_reference
from face_assets.storage.artifacts import Artifact

EVALUATION = ("evaluation.json", "groups.json", "stress.json", "pairs.csv", "test_photos.txt")
LINEAGE = "compatibility.json"


@dataclass(frozen=True)
class Parts:
    """The artifacts that a release is made of."""

    dataset: Artifact
    aligned: Artifact
    audited: Artifact
    embedder: Artifact
    evaluation: Artifact
    exported: Artifact
    gallery: Artifact


def make_release(workspace: Workspace, commit: str, parts: Parts, log: Log) -> Artifact:
    """The release of the commit, registered once for the same inputs, and promoted if it passes the gate."""
    params = workspace.params(commit)
    inputs = _inputs(workspace, commit, params, parts)
    workspace.repository.refresh()
    release = workspace.releases.find(inputs) or _made_by_earlier_version(workspace, commit, params, parts)
    new = release is None
    if release is None:
        release = _make_new(workspace, commit, params, parts, inputs, log)
    staged = stage_release(workspace, commit, release, _judge(workspace, commit, parts, log))
    log(f"{release.version}: {staged.reason}")
    directory = workspace.releases.bundle(release)
    summary = {
        "release": release.version,
        "tag": f"face-recognizer@{release.version}",
        "release_commit": release.commit,
        "trained_commit": release.trained_commit,
        "new": new,
        "production": staged.in_production,
        "stage_reason": staged.reason,
        "refused": staged.is_refused,
        "megabytes": round(sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()) / 1e6, 1),
        "figures": parts.evaluation.summary["figures"]["trained"],
    }
    return Artifact("recognizer_release", inputs, directory, summary, reused=not new)


def _inputs(workspace: Workspace, commit: str, params: Params, parts: Parts) -> str:
    """Digest of a release's inputs.

    The evaluation counts by its version and its threshold, and not by its fingerprint, which changes with the release in production.
    """
    evaluated = (step_version("embedder_evaluation"), parts.evaluation.summary["verification_threshold"])
    return fingerprint(_earlier_inputs(workspace, commit, params, parts), *evaluated)


def _earlier_inputs(workspace: Workspace, commit: str, params: Params, parts: Parts) -> str:
    """The digest without the evaluation. The attributes file counts by its content, for its groups are in the bundle."""
    digest = attributes_digest(workspace, commit, params.evaluation)
    asked = (params.evaluation.fingerprint(), *([digest] if digest else []))
    return fingerprint(parts.gallery.fingerprint, parts.exported.fingerprint, *asked, params.serving.fingerprint(), FORMAT)


def _made_by_earlier_version(workspace: Workspace, commit: str, params: Params, parts: Parts) -> Release | None:
    """The release that a version of the platform made whose digest left out the evaluation, where its threshold is today's."""
    release = workspace.releases.find(_earlier_inputs(workspace, commit, params, parts))
    if release is None:
        return None
    recognizer = read_json(workspace.releases.bundle(release) / "recognizer.json")
    return release if recognizer["verification_threshold"] == parts.evaluation.summary["verification_threshold"] else None


def _make_new(workspace: Workspace, commit: str, params: Params, parts: Parts, inputs: str, log: Log) -> Release:
    """Makes the bundle and registers it."""

    def fill(directory: Path) -> dict[str, Any]:
        _bundle(workspace, commit, params, parts, directory / "bundle", log)
        return {}

    bundle = workspace.home.artifacts.make("release_bundle", fingerprint(inputs, commit, parts.evaluation.fingerprint), fill)
    log("registering the release: DVC add and push, git tag")
    return _register(workspace, commit, params, parts, inputs, bundle.directory / "bundle", log)


def _bundle(workspace: Workspace, commit: str, params: Params, parts: Parts, directory: Path, log: Log) -> None:
    log("putting the bundle together")
    directory.mkdir()
    for name in engine_files(parts.exported.directory):
        link_or_copy(parts.exported.directory / name, directory / name)
    for name in ("gallery.npz", *INDEX_FILES):
        if (parts.gallery.directory / name).is_file():
            link_or_copy(parts.gallery.directory / name, directory / name)
    for name in EVALUATION:
        link_or_copy(parts.evaluation.directory / name, directory / name)
    shutil.copytree(detector_networks(workspace, params.detector), directory / "detector", copy_function=link_or_copy)
    recognizer = {
        "detector": recorded_detector(params.detector),
        "max_megapixels": params.photos.max_megapixels,
        "precision": parts.exported.summary["precision"],
        "embedding_size": parts.embedder.summary["embedding_size"],
        "verification_threshold": parts.evaluation.summary["verification_threshold"],
        "identification_threshold": parts.gallery.summary["identification_threshold"],
        "stranger_rates": parts.gallery.summary.get("stranger_rates"),  # None by a gallery of earlier versions
        "quality": parts.evaluation.summary["quality"]["scale"],
        "serving": params.serving.model_dump(mode="json", by_alias=True),  # as earlier versions read it
    }
    write_json(directory / "recognizer.json", recognizer)
    made = {"trained_commit": commit, "trained_time": workspace.repository.commit_info(commit).time}
    write_export_record(parts.exported, directory)
    write_record(parts.embedder, parts.audited, made, directory)
    lineage = _lineage(workspace, commit, params, parts, directory, log)
    write_json(directory / LINEAGE, lineage.to_json())
    _write_splits(parts.audited, directory / "splits.csv")
    write_json(directory / "probes.json", _golden_requests(workspace, params, parts, log))
    scale = QualityScale.from_json(parts.evaluation.summary["quality"]["scale"])
    reference = release_reference(workspace, params, parts.audited, parts.exported, parts.gallery, scale, log)
    if reference:
        reference.save(directory / REFERENCE)
    write_json(directory / "provenance.json", _provenance(workspace, commit, params, parts))
    write_text(directory / "model_card.md", _card(commit, params, parts, lineage, directory))


def _write_splits(aligned: Artifact, path: Path) -> None:
    splits = {face.identity: face.split for face in read_faces(aligned)}
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("identity", "split"))
        writer.writerows(sorted(splits.items()))


def _golden_requests(workspace: Workspace, params: Params, parts: Parts, log: Log) -> list[dict[str, Any]]:
    """Golden requests: test photos spread over the split, with the offline answers that a deployment must repeat.

    Each is of the detector's first choice, as the server's answers are: of photos of which that is the subject, where there are any.
    """
    from face_assets.gallery.search import Gallery

    faces = read_faces(parts.audited, "test")
    faces = [face for face in faces if face.crop_key == face.md5] or faces
    faces = faces[:: max(1, len(faces) // params.serving.golden_requests)][: params.serving.golden_requests]
    embeddings = served_vectors(workspace, params, parts.exported, [face.md5 for face in faces], log)
    gallery = Gallery.load(parts.gallery.directory)
    places, scores = gallery.search(embeddings)
    facts = crop_store(workspace, params.detector).facts(face.md5 for face in faces)
    return [
        {
            "md5": face.md5,
            "box": facts[face.md5]["box"],
            "embedding": [round(float(value), 7) for value in embedding],
            "identity": gallery.names[place],
            "score": float(score),
        }
        for face, embedding, place, score in zip(faces, embeddings.astype(np.float32), places, scores, strict=True)
    ]


def _provenance(workspace: Workspace, commit: str, params: Params, parts: Parts) -> dict[str, Any]:
    return {
        "commit": commit,
        "dataset_version": parts.dataset.summary["dataset_version"],
        "parameters": params.model_dump(mode="json"),
        "environment": environment(),
        "artifacts": {name: getattr(parts, name).fingerprint for name in Parts.__dataclass_fields__},
        "detector": detector_fingerprint(workspace, params.detector),
    }


def _lineage(workspace: Workspace, commit: str, params: Params, parts: Parts, bundle: Path, log: Log) -> Lineage:
    """The lineage of the release to be, compared with what is in production now."""
    embeddings = _embeddings_digest(workspace, params, parts)
    found = measure_lineage(workspace, commit, params, parts.audited, parts.exported, embeddings, log)
    return replace(found, training=training_facts(parts.embedder, read_record(bundle), params))


def _embeddings_digest(workspace: Workspace, params: Params, parts: Parts) -> str:
    engine = network_digests(parts.exported.directory)
    return fingerprint(engine, parts.exported.summary["precision"], detector_fingerprint(workspace, params.detector))


def _card(commit: str, params: Params, parts: Parts, lineage: Lineage, directory: Path) -> str:
    facts = CardFacts(
        commit=commit,
        dataset=parts.dataset.summary,
        aligned=parts.aligned.summary,
        audited=parts.audited.summary,
        training=parts.embedder.summary,
        figures=parts.evaluation.summary["figures"],
        test_people=parts.evaluation.summary["test_people"],
        gallery=parts.gallery.summary,
        verification=parts.evaluation.summary["verification"],
        precision=parts.exported.summary["precision"],
        precisions=parts.exported.summary["precisions"],
        parameters=params.model_dump(mode="json"),
        recognition=parts.evaluation.summary["recognition"],
        stress=parts.evaluation.summary["stress"],
        far=params.evaluation.far,
        groups=groups_markdown(parts.evaluation.summary["groups"], parts.evaluation.summary["group_notes"]),
        detector=detector_in_words(params.detector, directory / "detector"),
        embedder=embedder_in_words(params.embedder, directory),
        compatible_with=lineage.compatible_with,
        compatibility=lineage.reason,
    )
    return model_card(facts)


def _register(workspace: Workspace, commit: str, params: Params, parts: Parts, inputs: str, bundle: Path, log: Log) -> Release:
    recognizer = read_json(bundle / "recognizer.json")
    thresholds = (recognizer["verification_threshold"], recognizer["identification_threshold"])
    digests = Digests(
        embeddings=_embeddings_digest(workspace, params, parts),
        recognition=fingerprint(file_digest(bundle / "gallery.npz"), thresholds, *_index_digest(bundle)),
        packaging=tree_digest(bundle),
    )
    metrics = {name: figures for name, figures in parts.evaluation.summary["figures"]["trained"].items()}
    recognition = parts.evaluation.summary["recognition"]["trained"]
    metrics |= {name: recognition[name] for name in ("fnir", "fpir")}
    metrics |= {"stress": {name_of(row): row["tar"] for row in parts.evaluation.summary["stress"]["rows"].get("trained", ())}}
    metrics |= {"several_photos": parts.evaluation.summary["several_photos"]}
    metrics |= {"identification": parts.gallery.summary["identification"], "people_enrolled": parts.gallery.summary["people"]}
    plots = {name: parts_file for name, parts_file in _plots(parts).items() if parts_file.is_file()}

    def measure() -> Lineage:
        """The lineage in the bundle, unless production changed since, or an earlier version made it."""
        production = workspace.stages.production()
        if (bundle / LINEAGE).is_file():
            kept = Lineage.from_json(read_json(bundle / LINEAGE))
            if kept.against == (production.release.version if production else None):
                return kept
        return _lineage(workspace, commit, params, parts, bundle, log)

    return workspace.releases.register(bundle, commit, inputs, digests, metrics, plots, measure)


def _index_digest(bundle: Path) -> list[str]:
    """The digest of the gallery's index by its facts, which name the index' own; none without one."""
    return [file_digest(bundle / INDEX_FACTS)] if (bundle / INDEX_FACTS).is_file() else []


def _plots(parts: Parts) -> dict[str, Path]:
    curves = {name: parts.evaluation.directory / name for name in ("roc.csv", "det.csv", "discard.csv")}
    return curves | {"learning_curve.csv": parts.embedder.directory / "learning_curve.csv"}


def _judge(workspace: Workspace, commit: str, parts: Parts, log: Log) -> Judge:
    """Function that returns the gate's reasons; it evaluates again if production, or the best of its line, changed since the evaluation."""
    far = workspace.params(commit).evaluation.far

    def judge(production: Release | None) -> list[str]:
        evaluation = parts.evaluation
        line = [release.version for release in production_line(workspace.stages, far).releases]
        judged = [version for key in ("production", "best_of_line") if (version := evaluation.summary[key])]
        if production and line != judged:
            log(f"the production line changed since the evaluation: the gate compares with {' and '.join(line)}")
            evaluation = evaluate_embedder(workspace, commit, parts.audited, parts.exported, log)
        enrolled = judge_gallery(workspace, commit, parts.evaluation, parts.exported, parts.gallery, log)
        return [*([] if evaluation.summary["passed"] else evaluation.summary["reasons"]), *refusals(enrolled)]

    return judge
