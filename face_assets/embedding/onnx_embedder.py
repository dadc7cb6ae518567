"""An embedder in ONNX: checked, and wrapped into an engine with its preprocessing inside. It is served as it is; nothing is trained.

Raw quality is the length of the network's output before it is set to unit length, which grows with what the network is sure of
(Meng et al. 2021, MagFace, https://arxiv.org/abs/2103.06627). The evaluation measures its scale as for any embedder; where the length
predicts nothing, or the network sets it to one by itself, faces have no quality.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from face_assets.core.errors import UserError
from face_assets.core.files import new_directory, read_json, write_json
from face_assets.core.fingerprint import content_digest, file_digest, fingerprint
from face_assets.core.inference import compile_network
from face_assets.core.onnx_file import inspect_onnx, require_size
from face_assets.core.outside_text import shown_in_markdown
from face_assets.core.params import Embedder
from face_assets.core.step_versions import step_version
from face_assets.core.trial_process import answer_trial, try_apart
from face_assets.embedding.engine_files import ONNX, SOURCE, save_network
from face_assets.registry.workspace import Workspace

if TYPE_CHECKING:
    import openvino as ov

KEY = "embedder.weights"
MODULE = "face_assets.embedding.onnx_embedder"
SIZES = range(8, 4097)
VARYING = 1e-3
"""Share of its mean by which the length of the output varies at least where it can say anything."""

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Pictures:
    """The pictures that a network takes: order of the channels, and mean and divisor of each channel, in that order."""

    channels: Literal["rgb", "bgr"]
    mean: Three
    std: Three

    @staticmethod
    def of(embedder: Embedder) -> "Pictures":
        """Those of the parameters."""
        return Pictures(embedder.channels, embedder.mean, embedder.std)

    @staticmethod
    def of_engine(engine: dict[str, Any]) -> "Pictures":
        """Those of an engine.json."""
        return Pictures(engine["channels"], tuple(engine["mean"]), tuple(engine["std"]))

    def normalized(self, crops: np.ndarray) -> np.ndarray:
        """The network's input, float32 (n, 3, s, s), of crops uint8 (n, s, s, 3), RGB."""
        ordered = crops if self.channels == "rgb" else crops[..., ::-1]
        values = (ordered.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def onnx_engine(workspace: Workspace, file: Path, pictures: Pictures, side: int, shown: str) -> Path:
    """The folder with the engine of a network in float32, made once: embedder.onnx as it is, embedder.xml and .bin, engine.json.

    side: of the crops. Raises UserError for a file that does not fit, with its name as `shown`.
    """
    require_size(file, KEY, shown)
    digest = content_digest(file)
    folder = workspace.home.root / "weights" / f"engine-{fingerprint(digest, asdict(pictures), side, step_version('onnx_embedder'))}"
    if not folder.is_dir():
        with new_directory(folder) as aside:
            shutil.copyfile(file, aside / SOURCE)
            if file_digest(aside / SOURCE) != digest:
                raise UserError(f"{KEY}: {shown} changed while it was copied: run again.")
            try_apart(MODULE, f"{KEY}: {shown}", str(aside), json.dumps(asdict(pictures)), str(side), shown)
    return folder


def write_engine(folder: Path, pictures: Pictures, side: int, shown: str) -> None:
    """Writes embedder.xml, embedder.bin and engine.json beside embedder.onnx. Raises UserError for a network that does not fit.

    The engine: crops uint8 (n, side, side, 3), RGB -> embeddings float32 (n, d) of unit length, and raw qualities float32 (n,) unless the
    network's outputs have one length.
    """
    _require_side(folder / SOURCE, side, shown)
    outputs = _trial(folder / SOURCE, side, shown)
    lengths = np.linalg.norm(outputs, axis=1)
    has_quality = bool(lengths.std() > VARYING * lengths.mean())
    weights = save_network(_wrapped(folder / SOURCE, pictures, side, has_quality), folder)
    facts = {"precision": "f32", "embedding_size": outputs.shape[1], "image_size": side, "whitening": ONNX, "weights": weights}
    write_json(folder / "engine.json", {**facts, **asdict(pictures)})


def parity_of_onnx(folder: Path, crops: np.ndarray) -> dict[str, dict[str, float]]:
    """Cosines of ONNX Runtime's embeddings by the file as it is with those of the OpenVINO engine, least and mean: the key openvino.

    crops: uint8 (n, s, s, 3), n >= 1.
    """
    import onnxruntime  # type: ignore[import-untyped]

    pictures = Pictures.of_engine(read_json(folder / "engine.json"))
    session = onnxruntime.InferenceSession(folder / SOURCE, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    compiled = compile_network(folder / "embedder.xml", 1, streams=1)
    cosines = []
    for crop in crops:
        expected = session.run(None, {name: pictures.normalized(crop[None])})[0].reshape(-1).astype(np.float64)
        cosines.append(float(compiled(crop[None])[0][0] @ expected / max(np.linalg.norm(expected), 1e-12)))
    found = np.nan_to_num(np.array(cosines), nan=-1.0)
    return {"openvino": {"min": float(found.min()), "mean": float(found.mean())}}


def embedder_in_words(embedder: Embedder, folder: Path) -> str:
    """The network as a model card names it; folder: with embedder.onnx."""
    if not embedder.is_onnx:
        return "InceptionResnetV1"
    digest = hashlib.sha256((folder / SOURCE).read_bytes()).hexdigest()
    return f"{shown_in_markdown(embedder.weights)}, SHA-256 `{digest}`"


def _require_side(file: Path, side: int, shown: str) -> None:
    picture = inspect_onnx(file, KEY, shown)
    fixed = [length for length in (picture.height, picture.width) if length]
    if any(length != side for length in fixed):
        cure = f"set detector.image_size: {fixed[0]}" if len({*fixed}) == 1 else "export it for squares"
        takes = f"{picture.width or 'any'}x{picture.height or 'any'}"
        raise UserError(f"{KEY}: {shown} takes pictures of {takes} alone, and detector.image_size is {side}: {cure}.")


def _trial(file: Path, side: int, shown: str) -> np.ndarray:
    """The outputs, float32 (n, d), for pictures of noise, by a batch. Raises UserError where they are no embeddings."""
    import openvino as ov

    chance = np.random.default_rng(0)
    pictures = np.concatenate([chance.normal(0, share, (1, 3, side, side)) for share in (0.05, 0.1, 0.3, 0.6, 1.0)]).astype(np.float32)
    try:
        network = ov.Core().read_model(file)
        network.reshape([-1, 3, side, side])
        compiled = compile_network(network, 1, 1)
        count = len(compiled.outputs)
        together = np.array(compiled(pictures)[0], np.float32)
        alone = np.array(compiled(pictures[-1:])[0], np.float32)
    except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own
        words = " ".join(str(error).split())[-200:]
        raise UserError(f"{KEY}: {shown} cannot be run with batches of {side}x{side} pictures (OpenVINO: {words}).") from error
    if count != 1 or len(together) != len(pictures) or len(alone) != 1:
        shape = ", ".join(map(str, together.shape))
        raise UserError(
            f"{KEY}: {shown} must have one output with a row for each picture of a batch, and has {count}, of {len(pictures)} pictures "
            f"({shape}): export it with a batch of any size."
        )
    together, alone = together.reshape(len(pictures), -1), alone.reshape(1, -1)
    if together.shape[1] not in SIZES:
        raise UserError(f"{KEY}: {shown} gives {together.shape[1]:,} values a face; an embedding has {SIZES[0]} to {SIZES[-1]:,}.")
    if not np.isfinite(together).all():
        raise UserError(f"{KEY}: {shown} gives numbers that are not finite: its weights are damaged, or too large for 32 bits.")
    if not np.allclose(together[-1], alone[0], rtol=1e-2, atol=1e-3 * (1 + np.abs(together).max())):
        raise UserError(f"{KEY}: {shown} gives a face another embedding in a batch than alone: export it for inference.")
    if np.ptp(together, axis=0).max() < 1e-9:
        raise UserError(f"{KEY}: {shown} gives every picture the same embedding.")
    return together


def _wrapped(file: Path, pictures: Pictures, side: int, has_quality: bool) -> "ov.Model":
    """The network between preprocessing and unit length."""
    import openvino as ov
    from openvino import opset13 as ops

    network = ov.Core().read_model(file)
    network.reshape([-1, 3, side, side])
    crops = ops.parameter([-1, side, side, 3], np.uint8, name="crops")
    pixels = ops.convert(crops, "f32")
    if pictures.channels == "bgr":
        pixels = ops.gather(pixels, np.array([2, 1, 0]), np.array(3))
    pixels = ops.subtract(pixels, np.array(pictures.mean, np.float32))
    pixels = ops.divide(pixels, np.array(pictures.std, np.float32))
    network.get_parameters()[0].output(0).replace(ops.transpose(pixels, np.array([0, 3, 1, 2])).output(0))
    found = ops.convert(network.get_results()[0].input_value(0), "f32")
    flat = ops.reshape(found, np.array([0, -1]), special_zero=True)
    outputs = [ops.normalize_l2(flat, np.array([1]), 1e-12, "max")]
    if has_quality:
        outputs.append(ops.reduce_l2(flat, np.array([1])))
    return ov.Model(outputs, [crops], "embedder")


def _write_engine(folder: str, pictures: str, side: str, shown: str) -> None:
    write_engine(Path(folder), Pictures.of_engine(json.loads(pictures)), int(side), shown)


if __name__ == "__main__":
    answer_trial(_write_engine)
