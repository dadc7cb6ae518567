"""The Triton model repository: a release's three models in version folders, and the configurations that switch between them."""

import filecmp
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from face_assets.core.code_digest import PACKAGE, file_of, imports_of
from face_assets.core.files import file_lock, link_or_copy, new_directory, read_json, write_json, write_text
from face_assets.core.fingerprint import fingerprint
from face_assets.gallery.template_index import FILES as INDEX_FILES
from face_assets.serving import triton_networks
from face_assets.serving.config_text import parse, render
from face_assets.serving.runtime import native_networks
from face_assets.serving.runtime.limits import MAX_WAITING
from face_assets.serving.runtime.photos_of_person import MOST_PHOTOS

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

DETECTOR, EMBEDDER, RECOGNIZER = MODELS = ("face_detector", "face_embedder", "face_recognizer")
PARTS = {"detector": DETECTOR, "embedder": EMBEDDER}
"""The models that a recognizer asks, by the names that its parameters have for them."""
CANDIDATE = "candidate_"
VERSIONS = "versions.json"
PREFERRED_BATCH = 8  # of releases without the parameter
WEIGHTS = ("embedder.trunk.bin", "embedder.pt")  # of the trunk, and of the head; releases of earlier versions have them in embedder.bin
FILES = {
    DETECTOR: ("detector", "recognizer.json"),
    EMBEDDER: ("embedder.xml", "embedder.bin", *WEIGHTS, "engine.json", "recognizer.json"),
    RECOGNIZER: ("gallery.npz", *INDEX_FILES, "recognizer.json"),
}
"""Files of a bundle. Those of OPTIONAL are there in some."""
OPTIONAL = (*WEIGHTS, *INDEX_FILES)
OF_THE_GALLERY = ("verification_threshold", "identification_threshold", "stranger_rates")  # in recognizer.json, for the recognizer alone


@dataclass(frozen=True)
class ModelVersion:
    """A release's version in Triton: `number` names the version folders of its three models.

    detector, embedder: the numbers of the equal ones of an earlier release, where those are loaded in place of its own.
    """

    number: int
    release: str
    release_commit: str
    digest: str
    detector: int | None = None
    embedder: int | None = None

    def number_of(self, model: str) -> int:
        """Returns the number of the version folder that is loaded for one of the models."""
        shared = {DETECTOR: self.detector, EMBEDDER: self.embedder}.get(model)
        return self.number if shared is None else shared


def write_models(
    bundle: Path,
    release: str,
    release_commit: str,
    root: Path,
    templates: Path,
    cores: int,
    anew: bool = False,
    how: triton_networks.Serving = triton_networks.BY_OUR_MODELS,
) -> ModelVersion:
    """Writes the version folders of a release's bundle, each whole, and returns the version.

    The same release and code have the same number; with `anew`, they get a new one from then on. Loaded models do not change: the target
    does that, through `configure`. how: who runs the networks.
    """
    digest = fingerprint(release_commit, runtime_digest(templates), cores, *([asdict(how)] if how.is_native else []))
    with file_lock(root / ".versions.lock"):
        for partial in root.glob("*/.partial-*"):  # of a killed run; by the lock nobody fills it now
            shutil.rmtree(partial)
        known = versions(root)
        for version in reversed(known):
            if not anew and version.digest == digest and all((root / model / str(version.number)).is_dir() for model in MODELS):
                return version
        number = max((version.number for version in known), default=0) + 1
        for folder in _folders(root, number):
            shutil.rmtree(folder)  # of a run that was killed before it was recorded
        configs = root / "configs" / str(number)
        calls = triton_networks.write(bundle, root, number, configs, how, cores) if how.is_native else None
        for model in MODELS:
            with new_directory(root / model / str(number)) as folder:
                _fill(folder, model, bundle, templates)
                if calls:
                    write_text(folder / native_networks.FILE, calls)
        _write_configs(configs, bundle, release, release_commit, templates, cores)
        version = ModelVersion(number, release, release_commit, digest)
        write_json(root / VERSIONS, [asdict(one) for one in (*known, version)])
        return version


def networks(root: Path, number: int) -> list[str]:
    """Returns the names of the models of a version's networks; none where our models run them."""
    return sorted(folder.parent.name for folder in root.glob(f"{triton_networks.PREFIX}*/{number}"))


def _folders(root: Path, number: int) -> list[Path]:
    """Returns the version folders of a number that exist, of models, networks and configurations."""
    named = (*MODELS, "configs", *networks(root, number))
    return [folder for model in named if (folder := root / model / str(number)).is_dir()]


def runtime_digest(templates: Path) -> str:
    """Returns the digest of the code that is copied to version folders."""
    runtime = {file for model in MODELS for file in _runtime(templates, model)}
    sources = [*templates.glob("*/config.pbtxt"), *templates.glob("*/model.py"), *runtime]
    return fingerprint(sorted([path.parent.name, path.name, path.read_text(encoding="utf-8")] for path in sources))


def _runtime(templates: Path, model: str) -> list[Path]:
    """Returns the files of this package that a model runs: the modules that its model.py imports, and their packages."""
    used = imports_of((templates / model / "model.py").read_text(encoding="utf-8"))
    files = [file_of(name) for name in used]
    around = {folder / "__init__.py" for file in files for folder in file.parents if folder.is_relative_to(PACKAGE)}
    return sorted({*files, *around})


def versions(root: Path) -> list[ModelVersion]:
    """Returns every version that was written, oldest first."""
    file = root / VERSIONS
    return [ModelVersion(**values) for values in read_json(file)] if file.is_file() else []


def _fill(folder: Path, model: str, bundle: Path, templates: Path) -> None:
    shutil.copyfile(templates / model / "model.py", folder / "model.py")
    for file in _runtime(templates, model):
        copy = folder / file.relative_to(PACKAGE.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    for name in FILES[model]:
        source = bundle / name
        if (name in WEIGHTS and not (bundle / WEIGHTS[0]).is_file()) or (name in OPTIONAL and not source.is_file()):
            continue
        if source.is_dir():
            shutil.copytree(source, folder / name, copy_function=link_or_copy)
        else:
            link_or_copy(source, folder / name)


def _write_configs(folder: Path, bundle: Path, release: str, release_commit: str, templates: Path, cores: int) -> None:
    recognizer = read_json(bundle / "recognizer.json")
    serving = recognizer["serving"]
    facts = {
        "release": release,
        "release_commit": release_commit,
        "verification_threshold": repr(recognizer["verification_threshold"]),
        "identification_threshold": repr(recognizer["identification_threshold"]),
        "max_batch": str(serving["max_batch"]),
        "preferred_batch": str(serving.get("preferred_batch", PREFERRED_BATCH)),
        "queue_delay_us": str(serving["queue_delay_us"]),
        "max_waiting": str(serving.get("max_waiting", MAX_WAITING)),
        "max_photos": str(MOST_PHOTOS),
    }
    # One detector a core, with one thread each, which share nothing; one embedder with a thread a core, so that all crops are batched in
    # one place; one recognizer, whose threads wait for both.
    instances = {DETECTOR: cores, EMBEDDER: 1, RECOGNIZER: 1}
    for model in MODELS:
        config = parse((templates / model / "config.pbtxt").read_text(encoding="utf-8"))
        config.instance_group.add(kind=config.instance_group.add().KIND_CPU, count=instances[model])
        del config.instance_group[0]
        for name, value in facts.items():
            config.parameters[name].string_value = value
        if model == EMBEDDER:
            config.max_batch_size = serving["max_batch"]
        write_text(folder / f"{model}.pbtxt", render(config))


def with_parts_of(root: Path, version: ModelVersion, live: ModelVersion) -> ModelVersion:
    """Returns the version with the detector and the embedder of the live release, each where its own is the same."""

    def shared(model: str) -> int | None:
        theirs = live.number_of(model)
        return theirs if _is_same(root, model, version.number, theirs) else None

    return replace(version, detector=shared(DETECTOR), embedder=shared(EMBEDDER))


def loaded_folders(root: Path, live: ModelVersion) -> set[Path]:
    """Returns the version folders of models and configurations that the live release is loaded from."""
    numbers = {model: str(live.number_of(model)) for model in MODELS}
    return {root / model / number for model, number in numbers.items()} | {root / "configs" / number for number in numbers.values()}


def _is_same(root: Path, model: str, one: int, other: int) -> bool:
    """Returns True where two versions of a model answer alike: the same code, files and configuration, whatever their galleries."""
    folders = [root / model / str(number) for number in (one, other)]
    mine, theirs = ({file.relative_to(folder) for file in folder.rglob("*") if _counts(file)} for folder in folders)
    if not mine or mine != theirs:
        return False
    try:
        is_alike = _without_gallery(root, model, one) == _without_gallery(root, model, other)
        return is_alike and all(_has_same_content(folders[0] / name, folders[1] / name) for name in mine)
    except (OSError, ValueError):  # what is loaded may have lost its files since
        return False


def _counts(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts and file.name != "recognizer.json"


def _has_same_content(one: Path, other: Path) -> bool:
    return one.samefile(other) or filecmp.cmp(one, other, shallow=False)


def _without_gallery(root: Path, model: str, number: int) -> tuple[str, dict[str, object]]:
    """Returns what a version is configured with, but for what its release and its gallery alone decide."""
    config = _stored(root, model, number)
    for name in ("release", "release_commit", *OF_THE_GALLERY):
        config.parameters.pop(name, None)
    recognizer = read_json(root / model / str(number) / "recognizer.json")
    return render(config), {name: value for name, value in recognizer.items() if name not in OF_THE_GALLERY}


def configure(
    root: Path, model: str, numbers: Sequence[int], candidate: bool = False, parts: Mapping[str, tuple[str, int]] | None = None
) -> str:
    """Writes the config.pbtxt by which Triton loads `numbers` of a model, with the last one's settings; returns the model's name.

    A candidate has a name of its own, with a link as version folder, so that callers never reach it. parts: the name and the version of the
    models that a recognizer asks, by the keys of PARTS; those of its own number without them.
    """
    prefix = CANDIDATE if candidate else ""
    name = prefix + model
    config = _stored(root, model, numbers[-1])
    config.name = name
    config.version_policy.specific.versions.extend(numbers)
    if model == RECOGNIZER:
        own = {part: (prefix + of_part, numbers[-1]) for part, of_part in PARTS.items()}
        _ask(config, {**own, **(parts or {})})
    if candidate:
        config.instance_group[0].count = 1  # it gets one photo at a time
        link = root / name / str(numbers[-1])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..") / model / str(numbers[-1]))
    write_text(root / name / "config.pbtxt", render(config))
    return name


def _ask(config: "ModelConfig", parts: Mapping[str, tuple[str, int]]) -> None:
    for part, (name, number) in parts.items():
        config.parameters[part].string_value = name
        config.parameters[f"{part}_version"].string_value = str(number)


def configuration(root: Path, model: str, number: int, alone: int) -> str:
    """Returns the config.pbtxt of a version that is alone in a repository, with the number `alone`."""
    config = _stored(root, model, number)
    config.name = model
    config.version_policy.specific.versions.append(alone)
    if model == RECOGNIZER:
        _ask(config, {part: (of_part, alone) for part, of_part in PARTS.items()})
    return render(config)


def _stored(root: Path, model: str, number: int) -> "ModelConfig":
    return parse((root / "configs" / str(number) / f"{model}.pbtxt").read_text(encoding="utf-8"))


def remove_candidates(root: Path) -> None:
    """Removes the folders of candidates; the version folders that they link to stay."""
    for model in MODELS:
        shutil.rmtree(root / (CANDIDATE + model), ignore_errors=True)


def sweep(root: Path, keep: set[int], loaded: Collection[Path] = ()) -> None:
    """Deletes the version folders and records of all numbers except `keep`; the folders `loaded` stay."""
    with file_lock(root / ".versions.lock"):
        gone = [version for version in versions(root) if version.number not in keep]
        if gone:
            write_json(root / VERSIONS, [asdict(version) for version in versions(root) if version.number in keep])
        for version in gone:
            for folder in _folders(root, version.number):
                if folder in loaded:
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                if folder.parent.name.startswith(triton_networks.PREFIX):  # of this version alone
                    shutil.rmtree(folder.parent, ignore_errors=True)
