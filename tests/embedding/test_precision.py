"""A lower precision is served where it costs little enough, and the next more exact one where it does not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from face_assets.biometrics.verification import Evaluation, evaluate
from face_assets.core.files import read_json, write_json
from face_assets.embedding.engine import Engine
from face_assets.embedding.engine_files import replace_engine, restate_engine, save_network
from face_assets.embedding.precision import NotComputedError, Trial, try_precisions
from face_assets.embedding.quantization import SILENCE, quantize_engine
from tests.embedding.conftest import draw_crops

PEOPLE, PHOTOS, SIDE = 12, 6, 40
LABELS = np.repeat(np.arange(PEOPLE), PHOTOS)
FAR = 0.01


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return draw_crops(PEOPLE, PHOTOS, SIDE)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small engine like the real one: input normalization, convolutions, a last linear layer, unit length."""
    folder = tmp_path_factory.mktemp("engine")
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    crops = ops.parameter([-1, SIDE, SIDE, 3], np.uint8, name="crops")
    planes = ops.transpose(ops.convert(crops, "f32"), np.array([0, 3, 1, 2]))
    flow = ops.divide(ops.subtract(planes, np.float32(127.5)), np.float32(128))
    for channels, wide in ((3, 16), (16, 32)):
        convolved = ops.convolution(flow, weights(wide, channels, 3, 3), [2, 2], [0, 0], [0, 0], [1, 1])
        flow = ops.relu(ops.add(convolved, weights(1, wide, 1, 1)))
    pooled = ops.avg_pool(flow, [3, 3], [0, 0], [0, 0], [3, 3], exclude_pad=True)
    flat = ops.reshape(pooled, np.array([0, -1]), special_zero=True)
    vectors = ops.normalize_l2(ops.matmul(flat, weights(288, 24), False, False), np.array([1]), 1e-9, "max")
    digest = save_network(ov.Model([vectors], [crops], "small"), folder)
    write_json(folder / "engine.json", {"precision": "f32", "image_size": SIDE, "embedding_size": 24, "weights": digest})
    return folder


def figures(vectors: np.ndarray) -> Evaluation:
    return evaluate(vectors, LABELS, FAR, 0)


def test_int8_embeds_like_f32_and_is_the_same_file_every_time(engine: Path, crops: np.ndarray, tmp_path: Path) -> None:
    for name in ("one", "other"):
        quantize_engine(engine, tmp_path / name, crops[::3])
    for name in ("embedder.xml", "embedder.bin", "engine.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name
    text = (tmp_path / "one" / "embedder.xml").read_text()
    assert 'element_type="i8"' in text
    assert str(tmp_path) not in text
    assert read_json(tmp_path / "one" / "engine.json")["precision"] == "int8"
    exact, found = (Engine(folder / "embedder.xml", "f32", 1).embed(crops) for folder in (engine, tmp_path / "one"))
    assert 0.99 < (exact * found).sum(1).min() < 1 - 1e-7
    np.testing.assert_array_equal(found[:1], Engine(tmp_path / "one" / "embedder.xml", "int8", 1).embed(crops[:1]), "alone as among others")


def test_the_ends_stay_in_float(engine: Path, crops: np.ndarray, tmp_path: Path) -> None:
    quantize_engine(engine, tmp_path, crops[:8])
    network = ov.Core().read_model(tmp_path / "embedder.xml")
    feeding = {op.input_value(0).get_node().get_type_name() for op in network.get_ops() if op.get_type_name() == "FakeQuantize"}
    assert not feeding & {"Convert", "Transpose", "Subtract"}
    assert "Divide" in feeding, "what enters the first convolution is quantized"


def test_nncf_reports_nothing_to_its_makers(monkeypatch: pytest.MonkeyPatch, engine: Path, crops: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "crops.npy", crops[:4])
    program = (
        "import sys, numpy, pathlib\n"
        "from face_assets.embedding.quantization import quantize_engine\n"
        "quantize_engine(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) / 'int8', numpy.load(sys.argv[2] + '/crops.npy'))\n"
        "import nncf.telemetry.wrapper as wrapper\n"
        "assert not isinstance(wrapper.telemetry, wrapper.NNCFTelemetry), wrapper.telemetry\n"
    )
    monkeypatch.delenv(SILENCE, raising=False)
    subprocess.run([sys.executable, "-c", program, str(engine), str(tmp_path)], check=True, cwd=Path(__file__).parents[2])


def test_an_engine_is_restated_and_put_in_place(engine: Path, crops: np.ndarray, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for name in ("embedder.xml", "embedder.bin", "engine.json"):
        (there / name).write_bytes((engine / name).read_bytes())
    (there / "embedder.pt").touch()
    restate_engine(there, there / "bf16", "bf16")
    assert read_json(there / "bf16" / "engine.json") == {**read_json(engine / "engine.json"), "precision": "bf16"}
    replace_engine(there / "bf16", there)
    assert read_json(there / "engine.json")["precision"] == "bf16"
    cosines = (Engine(there / "embedder.xml", "bf16", 1).embed(crops) * Engine(engine / "embedder.xml", "f32", 1).embed(crops)).sum(1)
    assert cosines.min() > 0.99


@pytest.fixture
def exact(engine: Path, crops: np.ndarray) -> np.ndarray:
    return Engine(engine / "embedder.xml", "f32", 1).embed(crops)


def spoiled(exact: np.ndarray) -> np.ndarray:
    """Vectors that tell people less well apart."""
    noisy = exact + np.random.default_rng(0).normal(scale=0.4, size=exact.shape).astype(np.float32)
    return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


def said(trials: list[Trial]) -> list[tuple[str, bool]]:
    return [(trial.precision, trial.accepted) for trial in trials]


def test_what_costs_little_is_served(exact: np.ndarray) -> None:
    trials = try_precisions("int8", exact, lambda precision: exact.copy(), figures, FAR, 0.0)
    assert said(trials) == [("f32", True), ("int8", True)]
    assert (trials[-1].loss, trials[-1].figure) == (0.0, "TAR at FAR 0.01")
    assert said(try_precisions("f32", exact, lambda precision: exact, figures, FAR, 0.0)) == [("f32", True)]


def test_what_costs_much_gives_way_to_the_next(exact: np.ndarray) -> None:
    given = {"int8": spoiled(exact), "bf16": exact}
    trials = try_precisions("int8", exact, given.__getitem__, figures, FAR, 0.002)
    assert said(trials) == [("f32", True), ("int8", False), ("bf16", True)]
    assert "more than export.max_tar_loss 0.002" in trials[1].reason
    assert trials[1].loss is not None
    assert trials[1].loss > 0.002
    generous = try_precisions("int8", exact, given.__getitem__, figures, FAR, 1.0)
    assert said(generous) == [("f32", True), ("int8", True)]


def test_f32_is_left_where_nothing_else_can_be_had(exact: np.ndarray) -> None:
    def vectors(precision: str) -> np.ndarray:
        if precision == "bf16":
            raise NotComputedError("no such processor")
        return np.full_like(exact, np.nan)

    trials = try_precisions("int8", exact, vectors, figures, FAR, 0.002)
    assert said(trials) == [("int8", False), ("bf16", False), ("f32", True)]
    assert (trials[0].reason, trials[1].reason) == ("its vectors are not finite", "no such processor")


def test_auc_decides_where_impostor_pairs_cannot_tell_the_rate(exact: np.ndarray) -> None:
    def rough(vectors: np.ndarray) -> Evaluation:
        return evaluate(vectors, LABELS, 1e-6, 0)

    trials = try_precisions("bf16", exact, lambda precision: spoiled(exact), rough, 1e-6, 0.002)
    assert (trials[0].figure, said(trials)) == ("AUC", [("bf16", False), ("f32", True)])
