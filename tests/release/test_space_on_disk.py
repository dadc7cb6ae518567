"""A commit costs on disk what it changed, in the state directory and the DVC remote together, where every file counts once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from face_assets.core.errors import UserError
from face_assets.core.files import link_or_copy, write_json
from face_assets.core.inference import compile_network
from face_assets.core.project_files import TRITON_MODELS
from face_assets.core.settings import remember
from face_assets.embedding.engine import Engine
from face_assets.embedding.engine_files import engine_files
from face_assets.embedding.export import export_engine, parity
from face_assets.embedding.network import build
from face_assets.embedding.weights import load_embedder, save_embedder, weight_files
from face_assets.registry.releases import Digests, Release
from face_assets.registry.workspace import Workspace
from face_assets.serving.model_repository import write_models
from face_assets.serving.triton_networks import Serving, networks_of, write_networks

MB = 1_000_000
SIDE = 80
SIZE = 512  # of vggface2
TEMPLATES = 2 * MB
RECOGNIZER = {
    "verification_threshold": 0.5,
    "identification_threshold": 0.5,
    "serving": {"max_batch": 32, "queue_delay_us": 10},
}


def bytes_of(*roots: Path) -> int:
    """Bytes of all files below the roots, those with several names once."""
    files = [path.lstat() for root in roots for path in root.rglob("*") if path.is_file() and "mirrors" not in path.parts]
    return sum({(found.st_dev, found.st_ino): found.st_size for found in files}.values())


class Machine:
    """A state directory in which commits make releases by the functions of their steps, without photos."""

    def __init__(self, repository: Path, home: Path):
        remember(repo=str(repository))
        self.workspace, self.places = Workspace.load(), (home, repository.with_name("data.dvc-remote"))
        self.workspace.repository.refresh()
        self.releases: list[Release] = []

    def commit(self, name: str, model: torch.nn.Module, start: torch.nn.Module, gallery: str) -> int:
        """Makes and serves a release; returns the bytes that it added."""
        before, make = bytes_of(*self.places), self.workspace.home.artifacts.make

        def trained(folder: Path) -> dict[str, Any]:
            save_embedder(model, folder)
            return {}

        embedder = make("face_embedder", name, trained).directory

        def exported(folder: Path) -> dict[str, Any]:
            for file in weight_files(embedder):
                link_or_copy(embedder / file, folder / file)
            export_engine(load_embedder(folder / "embedder.pt", SIZE, 0), "fixed", SIDE, folder, SIZE, start)
            return {}

        engine = make("exported_embedder", name, exported).directory

        def bundled(place: Path) -> dict[str, Any]:
            folder = place / "bundle"
            folder.mkdir()
            for file in engine_files(engine):
                link_or_copy(engine / file, folder / file)
            (folder / "gallery.npz").write_bytes(np.random.default_rng(len(gallery)).bytes(TEMPLATES))
            write_json(folder / "recognizer.json", RECOGNIZER)
            (folder / "detector").mkdir()
            (folder / "detector" / "pnet.xml").write_text("<net/>")
            return {}

        bundle = make("release_bundle", name + gallery, bundled).directory / "bundle"
        registry = self.workspace.releases
        commit = registry.repository.resolve("HEAD")
        release = registry.register(bundle, commit, name + gallery, Digests(name, gallery, gallery), {}, {})
        write_models(registry.bundle(release), release.version, release.commit, self.models, TRITON_MODELS, 1)
        self.releases.append(release)
        return bytes_of(*self.places) - before

    @property
    def models(self) -> Path:
        return self.workspace.home.serving / "models"


@pytest.mark.slow
def test_a_new_head_adds_10_mb_at_most_and_a_new_gallery_its_templates(
    repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        start, model = build(SIZE).eval(), build(SIZE).eval()
    model.load_state_dict(start.state_dict())
    machine = Machine(repository, home)
    assert machine.commit("one", model, start, "a") < 2 * (3 * 96 + 8) * MB, "each file once here, and once in the remote"
    with torch.no_grad():
        model.last_linear.weight.mul_(-1.0)
        model.last_bn.weight.mul_(1.1)
        model.last_bn.bias.add_(0.01)
    assert machine.commit("two", model, start, "a") < 10 * MB
    assert machine.commit("two", model, start, "bb") < 2 * TEMPLATES + MB // 2, "and the code that the server runs"
    crops = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    one, two, _ = [Engine(machine.models / "face_embedder" / str(number) / "embedder.xml", "f32", 1).rows(crops) for number in (1, 2, 3)]
    np.testing.assert_array_equal(one[:, -1], two[:, -1], "the quality, of which the head has no part")
    assert np.abs(one[:, :-1] - two[:, :-1]).max() > 0.05
    weights = [machine.models / "face_embedder" / str(number) / "embedder.trunk.bin" for number in (1, 2, 3)]
    assert len({file.stat().st_ino for file in weights}) == 1
    monkeypatch.setenv("FACE_ASSETS_HOME", str(home.with_name("another machine")))
    remember(repo=str(repository))
    fetched = Workspace.load().releases.bundle(machine.releases[1])
    np.testing.assert_array_equal(Engine(fetched / "embedder.xml", "f32", 1).rows(crops), two)
    model_of_release = load_embedder(fetched / "embedder.pt", SIZE, 0)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in model_of_release.state_dict().items())
    assert all(found["min"] > 0.999999 for found in parity(model, "fixed", fetched, crops).values()), "by all three formats"
    for backend in ("openvino", "onnxruntime"):  # native models of Triton
        (network,) = networks_of(fetched, Serving(backend), None)
        names = write_networks([network], home / backend, 1)
        file = home / backend / names["embedder"] / "1" / f"model{network.file.suffix}"
        np.testing.assert_allclose(compile_network(file, 1, 1)(crops)[0], two[:, :-1], atol=1e-6)
    (fetched / "embedder.trunk.pt").unlink()
    with pytest.raises(UserError, match=r"the head of an embedder alone: put the release's embedder.trunk.pt next to it"):
        load_embedder(fetched / "embedder.pt", SIZE, 0)
