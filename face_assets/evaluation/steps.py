"""The step embedder_evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.biometrics.impostor_scores import impostor_scores, known_key
from face_assets.core.files import write_json
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Params
from face_assets.core.step_versions import step_version
from face_assets.detection.detectors import served_detector
from face_assets.embedding.vectors import Embedding, embed, served_vectors
from face_assets.embedding.weight_sources import resolve_weights
from face_assets.evaluation.evaluation_files import figures_line, headline, write_pairs, write_plots, write_stress_plot
from face_assets.evaluation.gate_notes import drawn_interval, drawn_notes, failure_notes, not_compared, own_people
from face_assets.evaluation.group_figures import attributes_digest, evaluate_groups
from face_assets.evaluation.labelled_photos import (
    CALIBRATION,
    LabelledPhotos,
    Seen,
    learned_by_release,
    people_kept,
    read_labelled,
    recognizer_key,
    seen_by_release,
)
from face_assets.evaluation.production_line import Line, production_line
from face_assets.evaluation.stress_table import Beside, Tested, stress_table
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

if TYPE_CHECKING:
    from face_assets.biometrics.recognition import Recognition
    from face_assets.biometrics.verification import Evaluation
    from face_assets.evaluation.regression import Comparison
    from face_assets.registry.releases import Release

PEOPLE_LISTED = 200


@dataclass(frozen=True)
class Compared:
    """A candidate compared with a release, and the counts of both on the people of the comparison. kept: bool, of all test people."""

    comparison: "Comparison"
    candidate: "Recognition"
    release: "Recognition"
    kept: np.ndarray


def evaluate_embedder(workspace: Workspace, commit: str, aligned: Artifact, exported: Artifact, log: Log) -> Artifact:
    """Evaluates the exported engine on the test identities and compares it with production and the best release of its line.

    Figures are of all labelled test photos, in which a photo without a found face counts as missed.
    """
    params = workspace.params(commit)
    line = production_line(workspace.stages, params.evaluation.far)
    against = [recognizer_key(workspace, release) for release in line.releases]
    weights = _weights_key(workspace, commit, params)
    asked = [params.evaluation.fingerprint(), attributes_digest(workspace, commit, params.evaluation), impostor_scores(weights).digest]
    asked += ["gap by interval"] if params.evaluation.max_group_gap < 1 else []  # where there is no bound, nothing is judged anew
    asked += [step_version("degraded_faces")] if params.evaluation.stress.conditions else []
    name = fingerprint(exported.fingerprint, aligned.fingerprint, *asked, against, step_version("embedder_evaluation"))

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.biometrics.several_photos import several_photos
        from face_assets.evaluation import face_quality, gate
        from face_assets.evaluation import groups as fairness
        from face_assets.evaluation.threshold_figures import threshold_figures

        photos = {split: read_labelled(aligned, split) for split in ("test", CALIBRATION)}
        seen = _seen_by_candidate(workspace, commit, exported, photos, log)
        recognized = _recognition(params, seen["trained"])
        of_line, comparisons, beside = _compare_with_line(workspace, commit, line, photos, (seen["trained"], recognized), log)
        seen |= of_line
        candidate = Tested("trained", exported.directory, params.detector, seen["trained"].test, recognized.point)
        stressed = stress_table(workspace, commit, aligned, photos["test"], candidate, beside, log)
        figures = {key: found for key, one in seen.items() if (found := _measure(params, key, one))}
        for key, measured in figures.items():
            log(f"{key}: {figures_line(measured)} over {measured.pairs:,} pairs of {measured.photos:,} photos")
        verdict = gate.judge(recognized, comparisons, params.evaluation, params.split.min_test_people)
        drawn = drawn_interval(photos["test"], recognized, params)
        gate_notes = [
            *drawn_notes(photos, drawn),
            *not_compared(line, comparisons),
            *failure_notes(seen),
            *own_people(recognized),
            *verdict.notes,
            *stressed.notes,
        ]
        trained, test = figures["trained"], photos["test"]
        names = [face.identity for face in test.faces]
        chosen = threshold_figures(seen["trained"].test.embeddings, names, params.evaluation, weights)
        threshold = chosen["threshold"]["value"]
        log(f"threshold for two photos: {threshold:.4f} by {chosen['threshold']['basis']}")
        gate_notes += filter(None, [chosen["shortfall"]])
        for note in gate_notes:
            log(note)
        quality = face_quality.measure_quality(workspace, params, exported, photos, seen["trained"].test, threshold, log)
        several = several_photos(seen["trained"].test, quality.test, recognized.point.identification)
        fars = [point.far for point in trained.tar]
        groups, outside = evaluate_groups(workspace, commit, params.evaluation, test, seen["trained"].test, threshold, fars)
        apart, notes = fairness.judge_gaps(groups, params.evaluation.max_group_gap, params.evaluation.confidence)
        apart += fairness.judge_false_matches(groups, params.evaluation.max_group_fmr)
        recognition = {"trained": recognized.to_json(), "beside": [one.to_json() for one in comparisons]}
        by_name = {**{key: one.to_json() for key, one in figures.items()}, "recognition": recognition}
        for file, content in (("groups", fairness.to_json(groups)), ("stress", stressed.to_json()), ("evaluation", by_name)):
            write_json(directory / f"{file}.json", content)
        write_pairs(directory, test, seen["trained"].test)
        write_plots(directory, figures, threshold)
        write_stress_plot(directory, stressed)
        face_quality.write_discards(directory, quality.discard)
        return {
            "precision": exported.summary["precision"],
            "test_people": trained.people,
            "test_photos": trained.photos,
            "failures_to_acquire": trained.failures,
            "figures": {key: headline(one) for key, one in figures.items()},
            "recognition": recognition,
            **({"drawn": drawn} if drawn else {}),
            "verification_threshold": threshold,
            "verification": chosen,
            "quality": quality.to_json(),
            "several_photos": several.to_json() if several else None,
            "passed": verdict.passed and not apart and not stressed.reasons,
            "reasons": [*verdict.reasons, *apart, *stressed.reasons],
            "gate_notes": gate_notes,
            "people_lost": [person for one in comparisons[:1] for person in one.lost[:PEOPLE_LISTED]],
            "groups": fairness.to_json(groups),
            "group_notes": [*outside, *notes],
            "stress": stressed.to_json(),
            "production": line.production.version if line.production else None,
            "best_of_line": line.best.version if line.best else None,
        }

    made = workspace.home.artifacts.make("embedder_evaluation", name, fill)
    return replace(made, summary=_of_line(made.summary, line))


def _of_line(summary: dict[str, Any], line: Line) -> dict[str, Any]:
    """The summary with the versions of the line's releases, for one that was made beside others with the same recognizers."""
    versions = {"production": line.production, "best_of_line": line.best}
    now = {key: release.version if release else None for key, release in versions.items()}
    names = {summary.get(key): version for key, version in now.items() if summary.get(key) != version}
    if not names:
        return summary
    beside = [{**one, "release": names.get(one["release"], one["release"])} for one in summary["recognition"]["beside"]]
    figures = {_figures_name(key, names): found for key, found in summary["figures"].items()}
    return {**summary, **now, "figures": figures, "recognition": {**summary["recognition"], "beside": beside}}


def _figures_name(key: str, names: Mapping[str | None, str | None]) -> str:
    """The name of figures whose release has another version now."""
    version, comma, rest = key.partition(",")
    return f"{names.get(version, version)}{comma}{rest}"


def _seen_by_candidate(
    workspace: Workspace, commit: str, exported: Artifact, photos: Mapping[str, LabelledPhotos], log: Log
) -> dict[str, Seen]:
    """The photos by the exported engine and by the starting weights, on the same crops."""
    params = workspace.params(commit)
    keys = {split: [face.crop_key for face in some.faces] for split, some in photos.items()}
    start = Embedding.of(params, resolve_weights(workspace, commit))
    trained = {split: some.seen(served_vectors(workspace, params, exported, keys[split], log)) for split, some in photos.items()}
    started = {split: some.seen(embed(workspace, start, keys[split], log)) for split, some in photos.items()}
    return {name: Seen(one["test"], one[CALIBRATION]) for name, one in (("trained", trained), ("start", started))}


def _weights_key(workspace: Workspace, commit: str, params: Params) -> str:
    """Key of the starting weights in known_weights.json."""
    from face_assets.embedding.weights import weights_fingerprint

    return known_key(weights_fingerprint(resolve_weights(workspace, commit)), params.embedder.whitening, params.detector.align)


def _recognition(params: Params, seen: Seen) -> "Recognition":
    """Counts at thresholds of the calibration people, or of the test people for rates that those are too few to show."""
    from face_assets.biometrics.recognition import operating_point, recognition

    asked = params.evaluation
    point = operating_point((seen.calibration, seen.test), asked.far, asked.fpir, seen.test.count, asked.seed)
    return recognition(seen.test, point)


def _compare_with_line(
    workspace: Workspace,
    commit: str,
    line: Line,
    photos: Mapping[str, LabelledPhotos],
    ours: "tuple[Seen, Recognition]",
    log: Log,
) -> "tuple[dict[str, Seen], list[Comparison], Beside | None]":
    """The photos by production and by the best release of its line, the comparisons with them, and production for the stress table."""
    params = workspace.params(commit)
    seen: dict[str, Seen] = {}
    comparisons, beside = [], None
    for release in line.releases:
        key = "production" if release == line.production else f"{release.version}, best of the line"
        seen[key] = Seen(*(seen_by_release(workspace, commit, release, photos[split], log) for split in ("test", CALIBRATION)))
        if compared := _compare(workspace, params, release, photos, ours, seen[key]):
            comparisons.append(compared.comparison)
            beside = _beside(workspace, release, seen[key], compared) if key == "production" else beside
    return seen, comparisons, beside


def _compare(
    workspace: Workspace,
    params: Params,
    release: "Release",
    photos: Mapping[str, LabelledPhotos],
    ours: "tuple[Seen, Recognition]",
    theirs: Seen,
) -> "Compared | None":
    """The comparison with a release on the people of whom it has not learned; None without a mated pair of theirs.

    ours: the photos by the candidate, and its counts on all people.
    """
    from face_assets.evaluation.regression import compare_recognition

    learned = learned_by_release(workspace, release)
    kept = {split: people_kept(some.names, learned) for split, some in photos.items()}
    names = [name for name, stays in zip(photos["test"].names, kept["test"], strict=True) if stays]
    both = [Seen(one.test.of_people(kept["test"]), one.calibration.of_people(kept[CALIBRATION])) for one in (ours[0], theirs)]
    if not names or not both[0].test.mated_pairs.any():
        return None
    everybody = all(stays.all() for stays in kept.values())
    candidate = ours[1] if everybody else _recognition(params, both[0])
    found = candidate, _recognition(params, both[1])
    return Compared(compare_recognition(release.version, found, names, params.evaluation), *found, kept["test"])


def _beside(workspace: Workspace, release: "Release", theirs: Seen, compared: Compared) -> Beside:
    """The release for the stress table, at the thresholds of the comparison."""
    bundle = workspace.releases.bundle(release)
    tested = Tested(release.version, bundle, served_detector(bundle), theirs.test, compared.release.point)
    return Beside(release.version, tested, compared.candidate.point, compared.kept)


def _measure(params: Params, name: str, seen: Seen) -> "Evaluation | None":
    """Figures over all labelled photos; None for another recognizer than the candidate that finds no two people."""
    from face_assets.biometrics.verification import evaluate_labelled

    if name != "trained" and len(np.unique(seen.test.found_people)) < 2:
        return None
    return evaluate_labelled(seen.test, params.evaluation.far, params.evaluation.seed)
