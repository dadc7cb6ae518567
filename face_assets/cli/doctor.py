"""`face-assets doctor`: the machine, the data repository, its remote and the weights, examined before hours are spent.

The checks of `run` (preflight.py) stand among more that only a person wants to read. A check returns a Finding; a UserError that it raises
is one that failed.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shutil import disk_usage
from typing import Literal

import psutil

from face_assets.automation import preflight
from face_assets.automation.preflight import Check, Plan
from face_assets.automation.services import WEBSERVER, record
from face_assets.cli.followed_repository import read_repository
from face_assets.cli.web_service import WEB
from face_assets.core import processes
from face_assets.core.errors import UserError
from face_assets.core.ports import require_free
from face_assets.core.project_files import SERVING_REQUIREMENTS
from face_assets.core.settings import LOOPBACK, usable_cores
from face_assets.dataset.enough_people import plan_of, planned
from face_assets.dataset.manifest import Manifest, make_manifest
from face_assets.dataset.steps import left_out_text
from face_assets.embedding.weight_sources import NAMES, resolve_weights
from face_assets.embedding.weights import load_embedder
from face_assets.registry.git import require_identity
from face_assets.registry.remotes import write_trouble
from face_assets.serving.server_environment import is_ready
from face_assets.serving.triton_server import SHARED_MEMORY

SERVED_PYTHONS = ((3, 11), (3, 12))  # for which the embedded server has a Python backend
MEMORY_NEEDED, DISK_NEEDED, SHARED_NEEDED = 3_000_000_000, 5_000_000_000, 64_000_000  # bytes
SECONDS_AHEAD = 60.0
SLOW_STORE = 3.0  # seconds

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """Finding on a subject, with what to do next where it is not ok."""

    subject: str
    state: State
    text: str


Found = tuple[State, str]


def examine(repo: str | None) -> Iterator[Finding]:
    """The findings, in order, on the followed repository's HEAD, or that of `repo`; without any on the machine alone."""
    workspace = read_repository(repo)
    machine = Plan(workspace, None, registers=True, serves=True)
    for subject, check in MACHINE.items():
        yield _finding(subject, check, machine)
    if not workspace.settings.repo:
        yield Finding("repository", "warning", "none is followed: `face-assets init` makes one, `face-assets use` follows one.")
        return
    try:
        workspace.repository.refresh()
        commit = workspace.repository.resolve("HEAD")
    except UserError as error:
        yield Finding("repository", "failed", str(error))
        return
    yield Finding("repository", "ok", f"{workspace.repository.shown}, commit {commit[:12]}")
    for subject, check in REPOSITORY.items():
        yield _finding(subject, check, Plan(workspace, commit, registers=True, serves=True))


def _finding(subject: str, check: Callable[[Plan], Found], plan: Plan) -> Finding:
    try:
        return Finding(subject, *check(plan))
    except (UserError, OSError) as error:
        return Finding(subject, "failed", str(error))


def _of_run(check: Check, fine: str) -> Callable[[Plan], Found]:
    """A check of preflight.py as one of these."""

    def found(plan: Plan) -> Found:
        sentence = check(plan)
        return ("failed", sentence) if sentence else ("ok", fine)

    return found


def _python(plan: Plan) -> Found:
    found = ".".join(map(str, sys.version_info[:3]))
    if plan.workspace.settings.target == "embedded" and sys.version_info[:2] not in SERVED_PYTHONS:
        return "failed", f"{found}: the embedded server runs with 3.11 or 3.12. Install with one of them: make PYTHON=python3.12 …"
    return "ok", found


def _cores(plan: Plan) -> Found:
    cores = usable_cores()
    return ("ok", f"{cores}") if cores > 1 else ("warning", "1: everything takes its time; 2 are better.")


def _memory(plan: Plan) -> Found:
    memory = psutil.virtual_memory()
    found = f"{memory.available / 1e9:.1f} GB available of {memory.total / 1e9:.1f}"
    if memory.available < MEMORY_NEEDED:
        return "warning", f"{found}: training and serving may need {MEMORY_NEEDED / 1e9:.0f} GB. End what else runs."
    return "ok", found


def _disk(plan: Plan) -> Found:
    sentence = preflight.disk_space(plan)
    if sentence:
        return "failed", sentence
    _, free = preflight.free_space(plan)
    found = f"{free / 1e9:.1f} GB free for {plan.workspace.home.root}"
    return ("ok", found) if free > DISK_NEEDED else ("warning", f"{found}: the first release may take {DISK_NEEDED / 1e9:.0f} GB.")


def _store(plan: Plan) -> Found:
    shared = plan.workspace.home.shared
    if shared is None:
        return "ok", "none: this machine makes what it needs"
    started, here = time.monotonic(), time.time()
    ahead, took = shared.objects.now() - here, time.monotonic() - started
    if abs(ahead) > took + SECONDS_AHEAD:
        return "warning", f"{shared.address} answers, and its clock is {ahead / 60:+,.0f} minutes off this machine's: set one of them."
    if took > SLOW_STORE:
        return "warning", f"{shared.address} can be written, and is slow: {took:.1f} s for four calls. Runs wait for it."
    return "ok", f"{shared.address} answers, and can be written"


def _shared_memory(plan: Plan) -> Found:
    free = disk_usage(SHARED_MEMORY).free
    found = f"{free / 1e6:,.0f} MB free"
    if free < SHARED_NEEDED:
        return "warning", f"{found}: the server passes photos through it. Clear {SHARED_MEMORY}, or give a container more (--shm-size)."
    return "ok", found


def _ports(plan: Plan) -> Found:
    settings = plan.workspace.settings
    if sentence := preflight.free_ports(plan):
        return "failed", sentence
    if processes.recorded(record(plan.workspace.home, WEBSERVER)) is None:
        require_free(settings.ui_host, settings.ui_port, "the UI", "FACE_ASSETS_UI_PORT")
    if processes.recorded(record(plan.workspace.home, WEB)) is None:
        require_free(LOOPBACK, settings.web_port, "the web service", "FACE_ASSETS_WEB_PORT")
    ports = (settings.http_port, settings.grpc_port, settings.metrics_port, settings.ui_port, settings.web_port)
    return "ok", f"{', '.join(map(str, ports))} are free or ours"


def _server(plan: Plan) -> Found:
    settings = plan.workspace.settings
    if settings.target == "docker":
        return _of_run(preflight.container_engine, "a Docker engine answers")(plan)
    if is_ready(settings.serving_env, SERVING_REQUIREMENTS):
        return "ok", f"Triton is installed in {settings.serving_env}"
    return "warning", f"Triton is not installed in {settings.serving_env}: the first run does it, half a GB, in a minute or two."


def _identity(plan: Plan) -> Found:
    try:
        require_identity(plan.workspace.repository.local or Path.home())
    except UserError as error:
        return "warning", str(error)  # a run needs none, a person's commit does
    return "ok", f"git knows you; DVC {version('dvc')}"


def _clock(plan: Plan) -> Found:
    newest = int(plan.workspace.repository.git("show", "-s", "--format=%ct", "--end-of-options", plan.commit or "HEAD"))
    ahead = newest - time.time()
    if ahead > SECONDS_AHEAD:
        return "warning", f"the newest commit is {ahead / 3600:,.1f} hours ahead of this machine: set its clock, or the committer's."
    return "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z")


def _params(plan: Plan) -> Found:
    assert plan.commit
    plan.workspace.params(plan.commit)
    return "ok", "params.yaml is valid"


def _manifest(plan: Plan, name: str) -> Manifest | None:
    """Returns the manifest of a tracked folder; None where that takes a fetch."""
    assert plan.commit
    repository = plan.workspace.repository
    if not repository.is_listed(plan.commit, name):
        return None
    split = plan.workspace.params(plan.commit).split
    return make_manifest(((file.path, file.md5) for file in repository.files(plan.commit, name)), split)


def _photos(plan: Plan) -> Found:
    assert plan.commit
    manifest = _manifest(plan, "photos")
    if manifest is None:
        return "warning", "not on this machine yet: the first run fetches and counts them."
    training = plan_of(manifest.photos, plan.workspace.params(plan.commit))
    if training.refusal:
        return "failed", training.refusal
    people = Counter({photo.identity: photo.split for photo in planned(manifest, training).photos}.values())
    shares = ", ".join(f"{people[split]:,} {split}" for split in ("train", "validation", "test") if people[split])
    found = f"{len(manifest.photos):,} of {people.total():,} people ({shares}){left_out_text(manifest.notes())}"
    return "ok", found if training.trains else f"{found}; {training.reason}"


def _gallery(plan: Plan) -> Found:
    assert plan.commit
    if plan.workspace.repository.pointer(plan.commit, "gallery") is None:
        return "ok", "none: everybody in photos/ is enrolled"
    manifest, photos = _manifest(plan, "gallery"), _manifest(plan, "photos")
    if manifest is None or photos is None:
        return "warning", "not on this machine yet: the first run fetches and counts them."
    enrolled = {photo.identity for photo in manifest.photos}
    if not enrolled:
        return "failed", f"nobody is in it{left_out_text(manifest.notes())}: it needs one folder a person, or `dvc remove gallery.dvc`."
    known = enrolled & {photo.identity for photo in photos.photos}
    return "ok", f"{len(enrolled):,} people, {len(known):,} of them in photos/, too{left_out_text(manifest.notes())}"


def _weights(plan: Plan) -> Found:
    assert plan.commit
    if sentence := preflight.starting_weights(plan):
        return "failed", sentence
    params = plan.workspace.params(plan.commit)
    weights = resolve_weights(plan.workspace, plan.commit)
    if weights not in NAMES and not params.embedder.is_onnx:
        load_embedder(weights, params.embedder.embedding_size, params.train.seed)
    return "ok", f"{params.embedder.weights} ({'ONNX' if params.embedder.is_onnx else params.embedder.whitening})"


def _remote(plan: Plan) -> Found:
    assert plan.commit
    for check in (preflight.dvc_remotes, preflight.default_remote):
        if sentence := check(plan):
            return "failed", sentence
    sentence = write_trouble(plan.workspace.repository, plan.commit)
    return ("failed", sentence) if sentence else ("ok", "answers, and can be written")


MACHINE: dict[str, Callable[[Plan], Found]] = {
    "Python": _python,
    "cores": _cores,
    "memory": _memory,
    "disk": _disk,
    "store": _store,
    "shared memory": _shared_memory,
    "ports": _ports,
    "server": _server,
}
REPOSITORY: dict[str, Callable[[Plan], Found]] = {
    "git and DVC": _identity,
    "clock": _clock,
    "releases": _of_run(preflight.writable_repository, "tags can be written"),
    "parameters": _params,
    "photos": _photos,
    "gallery": _gallery,
    "DVC remote": _remote,
    "detector": _of_run(preflight.detector_model, "there, and fits its parameters"),
    "weights": _weights,
}
