"""Embedders in ONNX: the engine around the network, and what is refused before anything is embedded."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from face_assets.core.errors import UserError
from face_assets.core.files import read_json
from face_assets.core.params import Params
from face_assets.core.params_yaml import parse_params
from face_assets.dataset.enough_people import plan_for
from face_assets.embedding.engine import Engine
from face_assets.embedding.engine_files import SOURCE, engine_files
from face_assets.embedding.onnx_embedder import Pictures, onnx_engine, parity_of_onnx, write_engine
from face_assets.embedding.quantization import quantize_engine

SIDE, PATCHES = 48, 4
RANKS = {"unit": ["n", "d"], "small": ["n", "c", 1, 1]} | {key: ["n", "c", "h", "w"] for key in ("pooled", "other", "mixed")}
CROPS = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
BGR = Pictures("bgr", (100.0, 110.0, 120.0), (128.0, 64.0, 32.0))


def network(*extra: Any, outputs: tuple[str, ...] = ("pooled",), batch: str | int = "n", weight: float = 3.0) -> Any:
    """The means of patches, (n, 3, 4, 4), by a convolution; `extra`: nodes after it."""
    patch = SIDE // PATCHES
    weights = numpy_helper.from_array(np.full((3, 1, patch, patch), weight / patch**2, np.float32), "w")
    nodes = [helper.make_node("Conv", ["input", "w"], ["pooled"], group=3, strides=[patch, patch]), *extra]
    graph = helper.make_graph(
        nodes,
        "patches",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, RANKS[name]) for name in outputs],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def made(folder: Path, model: Any, pictures: Pictures = BGR, side: int = SIDE) -> Path:
    """The folder with the engine of a network."""
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / SOURCE)
    write_engine(folder, pictures, side, "models/face.onnx")
    return folder


def test_the_engine_has_the_preprocessing_inside(tmp_path: Path) -> None:
    folder = made(tmp_path, network())
    engine = Engine(folder / "embedder.xml", "f32", 1)
    means = CROPS[..., ::-1].reshape(5, PATCHES, 12, PATCHES, 12, 3).mean(axis=(2, 4))
    wanted = (3 * (means - BGR.mean) / BGR.std).transpose(0, 3, 1, 2).reshape(5, -1)
    rows = engine.rows(CROPS)
    assert np.abs(rows[:, :-1] - wanted / np.linalg.norm(wanted, axis=1, keepdims=True)).max() < 1e-4
    assert rows[:, -1] == pytest.approx(np.linalg.norm(wanted, axis=1), rel=1e-4)
    assert parity_of_onnx(folder, CROPS)["openvino"]["min"] > 0.99999
    facts = read_json(folder / "engine.json")
    assert (facts["whitening"], facts["embedding_size"], facts["image_size"]) == ("onnx", 48, SIDE)
    assert set(engine_files(folder)) == {file.name for file in folder.iterdir()}


def test_a_network_of_unit_length_has_no_quality_and_can_be_quantized(tmp_path: Path) -> None:
    flat = helper.make_node("Flatten", ["pooled"], ["flat"])
    folder = made(tmp_path / "exact", network(flat, helper.make_node("LpNormalization", ["flat"], ["unit"], axis=1), outputs=("unit",)))
    engine = Engine(folder / "embedder.xml", "f32", 1)
    assert not engine.has_quality
    assert np.isnan(engine.rows(CROPS)[:, -1]).all()
    quantize_engine(folder, tmp_path / "int8", CROPS)
    assert (engine.embed(CROPS) * Engine(tmp_path / "int8" / "embedder.xml", "int8", 1).embed(CROPS)).sum(1).min() > 0.97


def test_what_is_no_embedder_is_refused(tmp_path: Path) -> None:
    def refusal(model: Any, side: int = SIDE) -> str:
        with pytest.raises(UserError) as refused:
            made(tmp_path, model, side=side)
        return str(refused.value)

    twice = helper.make_node("Identity", ["pooled"], ["other"])
    mixed = helper.make_node("Sub", ["pooled", "mean"], ["mixed"])
    mean = helper.make_node("ReduceMean", ["pooled"], ["mean"], axes=[0], keepdims=1)
    small = helper.make_node("ReduceMean", ["pooled"], ["small"], axes=[2, 3])
    for model, side, words in (
        (network(), 112, f"detector.image_size is 112: set detector.image_size: {SIDE}"),
        (network(twice, outputs=("pooled", "other")), SIDE, "must have one output with a row for each picture of a batch, and has 2"),
        (network(small, outputs=("small",)), SIDE, "gives 3 values a face"),
        (network(weight=float("nan")), SIDE, "numbers that are not finite"),
        (network(weight=0.0), SIDE, "gives every picture the same embedding"),
        (network(mean, mixed, outputs=("mixed",)), SIDE, "gives a face another embedding in a batch than alone"),
    ):
        assert refusal(model, side).startswith("embedder.weights: models/face.onnx ")
        assert words in refusal(model, side)


def test_an_engine_is_made_once_and_named_by_its_input(tmp_path: Path) -> None:
    workspace: Any = SimpleNamespace(home=SimpleNamespace(root=tmp_path / "home"))
    onnx.save(network(), tmp_path / "e.onnx")
    first = onnx_engine(workspace, tmp_path / "e.onnx", BGR, SIDE, "e.onnx")
    assert onnx_engine(workspace, tmp_path / "e.onnx", BGR, SIDE, "e.onnx") == first
    assert onnx_engine(workspace, tmp_path / "e.onnx", Pictures("rgb", BGR.mean, BGR.std), SIDE, "e.onnx") != first


def test_params_of_weights_in_onnx() -> None:
    params = parse_params("embedder: {weights: models/E.ONNX, channels: bgr, mean: [0, 0, 0], std: [1, 1, 1]}")
    assert Pictures.of(params.embedder) == Pictures("bgr", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    people = {f"person {number}": 5 for number in range(2000)}
    assert (plan_for(people, Params()).trains, plan_for(people, params).trains) == (True, False)
    for wrong, words in (
        ("{weights: a.onnx, whitening: per_image}", "per_image is not for weights in ONNX"),
        ("{weights: a.pt, channels: bgr}", "embedder.channels is of weights in ONNX"),
        ("{weights: a.onnx, std: [1, 1, 0]}", "`embedder.std"),
        ("{weights: a.onnx, mean: [1, 1]}", "`embedder.mean"),
    ):
        with pytest.raises(UserError, match=words):
            parse_params(f"embedder: {wrong}")
