"""The Triton model repository: a release's three models in version folders, and the configurations that switch between them."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from face_assets.core.code_digest import PACKAGE, file_of, imports_of
from face_assets.core.files import file_lock, link_or_copy, new_directory, read_json, write_json, write_text
from face_assets.core.fingerprint import fingerprint
from face_assets.serving.runtime.limits import MAX_WAITING

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

DETECTOR, EMBEDDER, RECOGNIZER = MODELS = ("face_detector", "face_embedder", "face_recognizer")
CANDIDATE = "candidate_"
VERSIONS = "versions.json"
PREFERRED_BATCH = 8  # of releases that do not say
FILES = {
    DETECTOR: ("detector", "recognizer.json"),
    EMBEDDER: ("embedder.xml", "embedder.bin", "engine.json"),
    RECOGNIZER: ("gallery.npz", "recognizer.json"),
}


@dataclass(frozen=True)
class ModelVersion:
    """A release as Triton counts: `number` names the version folders of its three models."""

    number: int
    release: str
    release_commit: str
    digest: str


def write_models(
    bundle: Path, release: str, release_commit: str, root: Path, templates: Path, cores: int, anew: bool = False
) -> ModelVersion:
    """Writes the version folders of a release's bundle, each whole; the same release and code give the same number, unless wanted `anew`:
    then, and from then on, a new one.

    What is loaded does not change: that is the target's to do, through `configure`.
    """
    digest = fingerprint(release_commit, runtime_digest(templates), cores)
    with file_lock(root / ".versions.lock"):
        for partial in root.glob("*/.partial-*"):  # of a run that was killed; the lock says that nobody fills it now
            shutil.rmtree(partial)
        known = versions(root)
        for version in reversed(known):
            if not anew and version.digest == digest and all((root / model / str(version.number)).is_dir() for model in MODELS):
                return version
        number = max((version.number for version in known), default=0) + 1
        for model in MODELS:
            shutil.rmtree(root / model / str(number), ignore_errors=True)  # of a run that was killed before it was counted
            with new_directory(root / model / str(number)) as folder:
                _fill(folder, model, bundle, templates)
        _write_configs(root / "configs" / str(number), bundle, release, release_commit, templates, cores)
        version = ModelVersion(number, release, release_commit, digest)
        write_json(root / VERSIONS, [asdict(one) for one in (*known, version)])
        return version


def runtime_digest(templates: Path) -> str:
    """What of this repository's code goes into a version folder."""
    runtime = {file for model in MODELS for file in _runtime(templates, model)}
    sources = [*templates.glob("*/config.pbtxt"), *templates.glob("*/model.py"), *runtime]
    return fingerprint(sorted([path.parent.name, path.name, path.read_text(encoding="utf-8")] for path in sources))


def _runtime(templates: Path, model: str) -> list[Path]:
    """The files of this package that a model runs: the modules that its model.py imports, and the packages around them."""
    used = imports_of((templates / model / "model.py").read_text(encoding="utf-8"))
    files = [file_of(name) for name in used]
    around = {folder / "__init__.py" for file in files for folder in file.parents if folder.is_relative_to(PACKAGE)}
    return sorted({*files, *around})


def versions(root: Path) -> list[ModelVersion]:
    """Every version that was written, oldest first."""
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
    }
    # A detector for each core, with one thread each, which share nothing; one embedder with a thread for each core, so that all crops are
    # gathered in one place; one recognizer, whose threads wait for both.
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


def parse(text: str) -> "ModelConfig":
    """A config.pbtxt as Triton's protobuf message. Raises google.protobuf.text_format.ParseError."""
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    return text_format.Parse(text, ModelConfig())


def render(config: "ModelConfig") -> str:
    """The message as config.pbtxt, checked by parsing it back."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(config)
    assert parse(text) == config, text
    return text


def configure(root: Path, model: str, numbers: Sequence[int], candidate: bool = False) -> str:
    """Writes the config.pbtxt under which Triton is to load `numbers` of a model (the last one's settings count); returns its name.

    A candidate stands beside the model under a name of its own, its version folder a link, so that callers never reach it.
    """
    prefix = CANDIDATE if candidate else ""
    name = prefix + model
    config = _stored(root, model, numbers[-1])
    config.name = name
    config.version_policy.specific.versions.extend(numbers)
    if model == RECOGNIZER:
        config.parameters["detector"].string_value = prefix + DETECTOR
        config.parameters["embedder"].string_value = prefix + EMBEDDER
    if candidate:
        config.instance_group[0].count = 1  # it is asked one photo at a time
        link = root / name / str(numbers[-1])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..") / model / str(numbers[-1]))
    write_text(root / name / "config.pbtxt", render(config))
    return name


def configuration(root: Path, model: str, number: int, alone: int) -> str:
    """The config.pbtxt of a version that stands in a repository of its own, as number `alone`."""
    config = _stored(root, model, number)
    config.name = model
    config.version_policy.specific.versions.append(alone)
    if model == RECOGNIZER:
        config.parameters["detector"].string_value = DETECTOR
        config.parameters["embedder"].string_value = EMBEDDER
    return render(config)


def _stored(root: Path, model: str, number: int) -> "ModelConfig":
    return parse((root / "configs" / str(number) / f"{model}.pbtxt").read_text(encoding="utf-8"))


def remove_candidates(root: Path) -> None:
    """Removes the candidates' folders; the version folders they point to stay."""
    for model in MODELS:
        shutil.rmtree(root / (CANDIDATE + model), ignore_errors=True)


def sweep(root: Path, keep: set[int]) -> None:
    """Deletes the version folders of all numbers but `keep`, and forgets them."""
    with file_lock(root / ".versions.lock"):
        gone = [version for version in versions(root) if version.number not in keep]
        if gone:
            write_json(root / VERSIONS, [asdict(version) for version in versions(root) if version.number in keep])
        for version in gone:
            for folder in (*(root / model for model in MODELS), root / "configs"):
                shutil.rmtree(folder / str(version.number), ignore_errors=True)
