"""`face-assets init`: a data repository from a folder of photos, once what it is made of was looked at."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from face_assets.automation.starting_weights import trouble_of_file
from face_assets.core.errors import UserError
from face_assets.core.params import Embedder, Params
from face_assets.core.params_yaml import default_params_yaml, parse_params
from face_assets.core.yaml_io import expanded
from face_assets.dataset.enough_people import plan_of
from face_assets.dataset.manifest import make_manifest
from face_assets.dataset.photo_survey import Survey, survey
from face_assets.dataset.repository_creation import create_repository, require_new
from face_assets.detection.detectors import detector_networks
from face_assets.embedding.normalization_choice import LEAST_WITH_COPIES, choose_normalization
from face_assets.embedding.weight_sources import NAMES
from face_assets.embedding.weights import load_embedder
from face_assets.embedding.weights_file import require_harmless
from face_assets.registry.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

Note = Callable[[str], None]


def init_repository(
    path: Path,
    photos: Path,
    gallery: Path | None,
    params_file: Path | None,
    weights: str | None,
    remote: str | None,
    note: Note = lambda line: None,
    shards: int = 0,
) -> str:
    """Makes the data repository and returns its commit. Raises UserError before anything is made when the input does not fit.

    `note` gets a line on each kind of file that is not copied, on people too few or not trained on, and on the chosen input normalization.
    """
    for option, folder in (("--photos", photos), ("--gallery", gallery)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{option}: {folder} is not a folder.")
    if params_file and not params_file.is_file():
        raise UserError(f"--params: {params_file} is not a file.")
    require_new(path)
    text = params_file.read_text(encoding="utf-8") if params_file else default_params_yaml()
    where = str(params_file or "params.yaml")
    is_stated = params_file is not None and "whitening" in parse_params(text, where).embedder.model_fields_set
    if weights:
        text = _with_embedder(text, "weights", _named(weights))
    params = parse_params(text, where)
    found = survey(photos)
    plan = plan_of(make_manifest(((file.as_posix(), "") for file in found.files), params.split).photos, params)
    if plan.refusal or not plan.trains:
        note(f"photos: {plan.refusal or plan.reason}")
    model = _checked(params.embedder)
    if model is not None and not is_stated and not params.detector.family:  # a file in ONNX is not in a repository yet
        text = _with_embedder(text, "whitening", _whitening(model, photos, found, params, note))
    return create_repository(path, photos, text, remote, gallery, note, shards)


def _named(weights: str) -> str:
    """The value for `embedder.weights`: a name, or a file by its absolute path. Raises UserError where there is no such file."""
    if weights in NAMES:
        return weights
    file = expanded(weights)
    if not file.is_file():
        raise UserError(f"--weights: there is no file {file}. Name a state_dict (.pt), a Keras .h5, or one of {', '.join(NAMES)}.")
    return str(file.resolve())


def _checked(embedder: Embedder) -> "nn.Module | None":
    """The network of a file of weights; None for published ones, whose input normalization is known, and for what lies in the repository.

    Raises UserError where the file does not exist, or holds no weights of this network.
    """
    file = expanded(embedder.weights)
    if embedder.weights in NAMES or embedder.is_onnx or not file.is_absolute():
        return None
    if file.is_file():
        if trouble := trouble_of_file(file):
            raise UserError(f"embedder.weights: {file} {trouble}.")
        require_harmless(file)
    return load_embedder(file, embedder.embedding_size, seed=0)


def _whitening(model: "nn.Module", photos: Path, found: Survey, params: Params, note: Note) -> str:
    """The input normalization that the weights want, measured on the photos; the default where they are too few."""
    note("Measuring on some photos which input normalization the weights want…")
    workspace = Workspace.load()
    chosen = choose_normalization(
        model, photos, found.files, detector_networks(workspace, params.detector), params, workspace.settings.cores
    )
    if chosen is None:
        default = params.embedder.whitening
        note(f"embedder.whitening: {default}, not measured: a face is found of fewer than {LEAST_WITH_COPIES} people.")
        return default
    figures = " and ".join(f"{value:.2f} with {name}" for name, value in chosen.separation.items())
    sample = f"{chosen.people} people" + (" and altered copies of their photos" if chosen.copies else "")
    unit = "gap of the mean scores of" if chosen.copies else "standard deviations between"
    note(f"embedder.whitening: {chosen.normalization}, measured on {sample}: {unit} pairs of one person and of two: {figures}.")
    return chosen.normalization


def _with_embedder(text: str, key: str, value: str) -> str:
    """The text of a params.yaml with `key` of the section embedder set, comments kept. Raises UserError for a text laid out otherwise."""
    shown = value if yaml.safe_load(value) == value else json.dumps(value, ensure_ascii=False)
    line = re.compile(rf"^(  {key}:)[^#\n]*?(  #.*)?$", re.MULTILINE)
    if line.search(text):
        changed = line.sub(lambda found: f"{found[1]} {shown}{found[2] or ''}", text, count=1)
    elif "embedder:" not in text:
        changed = f"{text}\nembedder:\n  {key}: {shown}\n"
    elif re.search(r"^embedder: *\{", text, re.MULTILINE):
        without = re.sub(rf"^(embedder: *\{{.*?)\b{key}: *[^,}}]*(, *)?", r"\1", text, flags=re.MULTILINE)
        changed = re.sub(r"^embedder: *\{", lambda found: f"{found[0]}{key}: {shown}, ", without, flags=re.MULTILINE)
    else:
        changed = re.sub(r"^embedder:.*$", lambda found: f"{found[0]}\n  {key}: {shown}", text, count=1, flags=re.MULTILINE)
    try:
        is_set = getattr(parse_params(changed, "params.yaml").embedder, key) == value
    except UserError:
        is_set = False
    if not is_set:
        raise UserError(f"--params: write `{key}: {shown}` into its section `embedder`, which is laid out in an unusual way.")
    return changed
