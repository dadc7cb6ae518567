"""Starting weights: every accepted kind gives the same network, every unusable one a sentence."""

import socket
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from face_assets.core.errors import UserError
from face_assets.embedding.keras_weights import keras_names
from face_assets.embedding.network import ServedEmbedder
from face_assets.embedding.weights import load_embedder, weights_fingerprint


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A network whose normalisations are not the identity, so that a parameter in the wrong place shows."""
    network = load_embedder("scratch", 24, seed=3)
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if "running_var" in name:
            value.copy_(torch.rand(value.shape, generator=generator) * 0.02 + 0.005)
        elif "running_mean" in name or name.endswith("bn.bias"):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.05)
    return network


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    return torch.randint(0, 256, (3, 80, 80, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def embed(network: torch.nn.Module, crops: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return ServedEmbedder(network, "fixed").eval()(crops)


def write_keras(path: Path, network: torch.nn.Module, group: str) -> None:
    """An .h5 as Keras writes it for facenet: kernels in HWIO order, no gamma."""
    state = network.state_dict()
    with h5py.File(path, "w") as file:
        for (layer, variable), key in keras_names().items():
            if variable == "gamma":
                continue
            value = state[key].numpy()
            value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
            file.create_dataset(f"{group}{layer}/{layer}/{variable}:0", data=value)
        file.create_dataset("optimizer_weights/Adam/Conv2d_1a_3x3/kernel:0", data=np.zeros((3, 3, 3, 32)))


def test_a_seed_decides_the_weights_from_scratch_and_nothing_else_does() -> None:
    torch.manual_seed(5)
    before = torch.rand(1, generator=torch.Generator().manual_seed(5))
    first, again, other = (load_embedder("scratch", 16, seed).state_dict() for seed in (1, 1, 2))
    assert torch.rand(1) == before, "loading must not move the global generator"
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["last_linear.weight"], other["last_linear.weight"])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_state_dict_of_any_float_type_loads_as_float32(
    tmp_path: Path, model: torch.nn.Module, crops: torch.Tensor, dtype: torch.dtype, nested: bool
) -> None:
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in model.state_dict().items()}
    state["logits.weight"] = torch.zeros(7, 24)
    torch.save({"state_dict": state} if nested else state, tmp_path / "w.pt")
    loaded = load_embedder(str(tmp_path / "w.pt"), 512, 0)
    assert loaded.last_linear.out_features == 24, "the weights decide the embedding size"
    assert not loaded.training and {value.dtype for value in loaded.parameters()} == {torch.float32}
    assert torch.allclose(embed(loaded, crops), embed(model, crops), atol=2e-2 if dtype is torch.float16 else 1e-6)


@pytest.mark.parametrize("group", ["", "model_weights/", "model_weights/inception_resnet_v1/"])
def test_a_keras_facenet_gives_the_same_embeddings(tmp_path: Path, model: torch.nn.Module, crops: torch.Tensor, group: str) -> None:
    write_keras(tmp_path / "facenet.h5", model, group)
    assert torch.equal(embed(load_embedder(str(tmp_path / "facenet.h5"), 512, 0), crops), embed(model, crops))


def test_keras_names_cover_the_network_once(model: torch.nn.Module) -> None:
    keys = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    assert sorted(keras_names().values()) == sorted(keys)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_embedder(str(path), 512, 0)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_weights_that_do_not_fit_are_refused_with_the_first_keys(tmp_path: Path, model: torch.nn.Module) -> None:
    state = dict(model.state_dict())
    del state["conv2d_1a.conv.weight"], state["conv2d_2a.conv.weight"]
    state |= {"last_bn.bias": torch.zeros(3), "fc.weight": torch.zeros(1), "block8.conv2d.bias": torch.full((1792,), torch.nan)}
    torch.save(state, tmp_path / "w.pt")
    sentence = refused(tmp_path / "w.pt")
    assert "conv2d_1a.conv.weight is missing; conv2d_2a.conv.weight is missing; fc.weight is not of this network, and 2 more" in sentence
    torch.save({"conv1.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pt")
    assert "does not fit" in refused(tmp_path / "resnet.pt")


def test_files_that_are_no_weights_are_refused(tmp_path: Path, model: torch.nn.Module) -> None:
    assert "there is no file" in refused(tmp_path / "absent.pt")
    assert "there is no file" in refused(tmp_path)
    torch.save(model.state_dict(), tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    write_keras(tmp_path / "whole.h5", model, "")
    hdf5 = (tmp_path / "whole.h5").read_bytes()
    for share in (0.0, 0.00001, 0.3, 0.99):
        (tmp_path / "torn.pt").write_bytes(content[: int(len(content) * share)])
        assert "cannot be read" in refused(tmp_path / "torn.pt")
        (tmp_path / "torn.h5").write_bytes(hdf5[: int(len(hdf5) * share)])
        assert "cannot be read as HDF5" in refused(tmp_path / "torn.h5")
    (tmp_path / "text.pt").write_text("weights")
    assert "cannot be read" in refused(tmp_path / "text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "found list" in refused(tmp_path / "list.pt")
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    assert "found a dict with epoch" in refused(tmp_path / "other.pt")
    torch.save(model, tmp_path / "pickled.pt")
    assert "cannot be read" in refused(tmp_path / "pickled.pt"), "code in a pickle must not run"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("dense/kernel:0", data=np.zeros((2, 2)))
    assert "no layer of a Keras facenet" in refused(tmp_path / "other.h5")


def test_offline_the_error_says_where_to_put_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"vggface2 cannot be downloaded .*20180402-114759-vggface2\.pt.*TORCH|checkpoints"):
        load_embedder("vggface2", 512, 0)


def test_published_weights_are_taken_from_torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: torch.nn.Module) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "checkpoints" / "20180408-102900-casia-webface.pt"
    place.parent.mkdir()
    torch.save(model.state_dict(), place)
    loaded = load_embedder("casia-webface", 512, 0).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in model.state_dict().items())


def test_a_fingerprint_follows_the_bytes_and_not_the_name(tmp_path: Path) -> None:
    for name, content in (("a.pt", b"1"), ("b.pt", b"1"), ("c.pt", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (weights_fingerprint(str(tmp_path / name)) for name in ("a.pt", "b.pt", "c.pt"))
    assert a == b != c
    assert weights_fingerprint("scratch") == "scratch"
    with pytest.raises(UserError, match="there is no file"):
        weights_fingerprint(str(tmp_path / "absent.pt"))
