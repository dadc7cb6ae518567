"""The exported engine answers as torch does, for any number of crops, and is the same file every time."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch

from face_assets.core.files import read_json
from face_assets.core.inference import compile_network
from face_assets.embedding.engine import Engine
from face_assets.embedding.export import export_engine, parity
from face_assets.embedding.features import raw_quality
from face_assets.embedding.network import Head, ServedEmbedder, TrunkFeatures
from face_assets.embedding.weights import load_embedder

FILES = {
    *("embedder.onnx", "embedder.trunk.onnx.bin", "embedder.xml", "embedder.bin", "embedder.trunk.bin"),
    *("quality.npy", "engine.json"),
}


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return load_embedder("scratch", 16, seed=0)


@pytest.fixture(scope="module")
def engine(model: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("engine")
    export_engine(model, "per_image", 80, place, 16)
    return place


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (19, 80, 80, 3), dtype=np.uint8)


def test_torch_onnxruntime_and_openvino_agree(model: torch.nn.Module, engine: Path, crops: np.ndarray) -> None:
    figures = parity(model, "per_image", engine, crops)
    assert set(figures) == {"onnxruntime", "openvino"}
    for found in figures.values():
        assert 0.999999 < found["min"] <= found["mean"] <= 1.0000001


def test_a_trunk_in_a_file_of_its_own_changes_no_bit(engine: Path, crops: np.ndarray) -> None:
    whole = compile_network(openvino.convert_model(engine / "embedder.onnx"), 1, 1)(crops[:3])
    parted = compile_network(engine / "embedder.xml", 1, 1)(crops[:3])
    for number in range(2):
        np.testing.assert_array_equal(whole[number], parted[number])
    assert (engine / "embedder.bin").stat().st_size < 1_000_000 < (engine / "embedder.trunk.bin").stat().st_size


def test_parity_notices_another_normalization(model: torch.nn.Module, engine: Path, crops: np.ndarray) -> None:
    other = load_embedder("scratch", 16, seed=1)
    assert parity(other, "per_image", engine, crops[:2])["openvino"]["min"] < 0.9


def test_any_number_of_crops_gives_unit_vectors(engine: Path, crops: np.ndarray) -> None:
    compiled = compile_network(engine / "embedder.xml", 1, 1)
    for count in (1, 7):
        vectors = compiled(crops[:count])[0]
        assert vectors.shape == (count, 16) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_starting_weights_measure_the_quality_of_a_trained_network(tmp_path: Path, model: torch.nn.Module, crops: np.ndarray) -> None:
    other = load_embedder("scratch", 24, seed=1)
    export_engine(model, "per_image", 80, tmp_path, 16, start=other)
    with torch.inference_mode():
        features = TrunkFeatures(model, "per_image").eval()(torch.from_numpy(crops))
        expected = Head(other).eval()(features).norm(dim=1) / features.norm(dim=1)
    rows = Engine(tmp_path / "embedder.xml", "f32", 1).rows(crops)
    assert rows.shape == (len(crops), 17)
    np.testing.assert_allclose(rows[:, -1], expected, rtol=1e-3)
    np.testing.assert_allclose(raw_quality(features.numpy(), np.load(tmp_path / "quality.npy")), expected, rtol=1e-3)


def test_a_crop_of_one_colour_gives_finite_numbers(model: torch.nn.Module, engine: Path) -> None:
    flat = np.full((1, 80, 80, 3), 127, np.uint8)
    compiled = compile_network(engine / "embedder.xml", 1, 1)
    assert np.isfinite(compiled(flat)[0]).all()
    assert torch.isfinite(ServedEmbedder(model, "per_image").eval()(torch.from_numpy(flat))).all()


def test_the_engine_is_whole_described_and_free_of_this_machine(engine: Path) -> None:
    assert {path.name for path in engine.iterdir()} == FILES
    described = read_json(engine / "engine.json")
    assert described | {"weights": ""} == {
        "precision": "f32",
        "embedding_size": 16,
        "image_size": 80,
        "whitening": "per_image",
        "weights": "",
    }
    graph = onnx.load(engine / "embedder.onnx").graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert {initializer.data_type for initializer in graph.initializer if len(initializer.dims) == 4} == {onnx.TensorProto.FLOAT}
    for name in FILES:
        assert str(Path(__file__).parents[2]).encode() not in (engine / name).read_bytes()
    assert "compressed" not in (engine / "embedder.xml").read_text() and 'element_type="f16"' not in (engine / "embedder.xml").read_text()


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_also_after_other_exports(model: torch.nn.Module, engine: Path, tmp_path: Path) -> None:
    openvino.convert_model(torch.nn.Conv2d(3, 4, 3), example_input=torch.zeros(1, 3, 8, 8))  # moves the counters of the process on
    export_engine(model, "per_image", 80, tmp_path, 16)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (engine / name).read_bytes(), name


def test_onnxruntime_keeps_no_record_of_its_use(tmp_path: Path) -> None:
    """It would report it to its makers, under an id that it keeps in the user's home."""
    told = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "import face_assets, onnxruntime"], env=told, cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []
