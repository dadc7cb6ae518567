"""Detectors in ONNX: boxes and points of three families, their limits, and what is refused before anything is searched."""

import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from face_assets.core import onnx_file
from face_assets.core.errors import UserError
from face_assets.core.files import write_json
from face_assets.core.params import Detector
from face_assets.core.params_yaml import parse_params
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.detector_families import FAMILIES, STRIDES
from face_assets.detection.detectors import detector_config, detector_fingerprint, detector_networks, recorded_detector, served_detector
from face_assets.detection.onnx_detector import FILE, OnnxDetector
from face_assets.detection.onnx_models import require_detector
from face_assets.detection.opened_detector import open_detector
from face_assets.registry.workspace import Workspace
from tests.toy_networks import PLACES, framed, write_detector

SIDE = 160
CONFIGS = {family: DetectorConfig(family=family, input_size=SIDE) for family in ("scrfd", "retinaface", "yunet")}
BOX = (60, 40, 180, 170)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of each family's toy detector."""
    base = tmp_path_factory.mktemp("toys")
    return {family: write_detector(base / family / FILE, family).parent for family in CONFIGS}


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("scale", [1, 4])
def test_each_family_finds_box_and_points(toys: dict[str, Path], family: str, scale: int) -> None:
    """In pixels of the photo, whatever its size: the network sees it in a square of 160 pixels."""
    photo = framed(3, 0, (240, 200), BOX).resize((240 * scale, 200 * scale), Image.Resampling.NEAREST)
    faces = open_detector(toys[family], CONFIGS[family]).detect(np.asarray(photo))
    assert faces.probabilities.tolist() == pytest.approx([1.0])
    pixel = 240 * scale / SIDE
    assert np.abs(faces.boxes[0] - np.multiply(BOX, scale)).max() <= 1.5 * pixel
    wanted = [(60 + 120 * x, 40 + 130 * y) for x, y in PLACES]
    assert np.abs(faces.landmarks[0] - np.multiply(wanted, scale)).max() <= 1.5 * pixel
    assert len(open_detector(toys[family], CONFIGS[family]).detect(np.full((90, 120, 3), 127, np.uint8)).boxes) == 0


def test_a_turned_photo_is_searched_where_it_is_asked_for(toys: dict[str, Path]) -> None:
    photo = np.asarray(framed(3, 0, (240, 200), BOX))
    config = DetectorConfig(family="scrfd", input_size=SIDE, turned_below=0.9)
    faces = open_detector(toys["scrfd"], config).detect(photo)
    assert faces.quarter_turns == 0  # found upright
    assert open_detector(toys["scrfd"], config).crop(photo, faces).shape == (160, 160, 3)


def test_two_anchors_give_one_face(tmp_path: Path) -> None:
    write_detector(tmp_path / FILE, "scrfd", anchors=2)
    faces = open_detector(tmp_path, CONFIGS["scrfd"]).detect(np.asarray(framed(3, 0, box=BOX)))
    assert len(faces.boxes) == 1


def test_boxes_without_numbers_or_outside_are_dropped(toys: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    detector = open_detector(toys["scrfd"], CONFIGS["scrfd"])
    boxes = [
        [10, 10, 60, 60],
        [np.nan, 10, 60, 60],
        [300, 300, 320, 320],
        [30, 30, 30, 90],
        [12, 12, 62, 62],
        [90, 90, 130, 140],
        [-1e30] * 4,
    ]
    found = np.array(boxes, np.float32), np.linspace(0.9, 0.6, 7, dtype=np.float32), np.zeros((7, 5, 2), np.float32)
    monkeypatch.setitem(FAMILIES, "scrfd", FAMILIES["scrfd"])
    monkeypatch.setattr(detector, "_family", type("Fixed", (), {"decode": lambda *_: found, "input_of": FAMILIES["scrfd"].input_of}))
    faces = detector.detect(np.zeros((160, 160, 3), np.uint8))
    assert faces.boxes.tolist() == [[10, 10, 60, 60], [90, 90, 130, 140]]


def refusal(path: Path, config: DetectorConfig = CONFIGS["scrfd"]) -> str:
    """The sentence by which a network is refused."""
    path.rename(path.with_name(FILE))
    with pytest.raises(UserError) as refused:
        require_detector(path.parent, "models/face.onnx", config)
    return str(refused.value)


def changed(toys: dict[str, Path], folder: Path, family: str = "scrfd") -> tuple[Any, Path]:
    """A toy detector to change, and where to save it."""
    return onnx.load(toys[family] / FILE), folder / "changed.onnx"


def test_files_that_are_no_harmless_onnx_are_refused(toys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b"", b"no network", b"PK\x03\x04" + bytes(100), (toys["scrfd"] / FILE).read_bytes()[:-900]):
        (tmp_path / "x").write_bytes(content)
        assert refusal(tmp_path / "x").startswith("detector.model: models/face.onnx is no ")
    model, path = changed(toys, tmp_path)
    model.graph.node[0].domain = "com.evil"
    onnx.save(model, path)
    assert "operators beyond the ONNX standard ('com.evil." in refusal(path)
    model, path = changed(toys, tmp_path)
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))
    onnx.save(model, path)
    assert "Loop, which may run without end" in refusal(path)
    model, path = changed(toys, tmp_path)
    tensor = helper.make_tensor("far", TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.initializer.append(tensor)
    onnx.save(model, path)
    assert "keeps weights in other files" in refusal(path)
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 10)
    (tmp_path / "x").write_bytes(bytes(100))
    assert "has 100 bytes, and a network may have 10" in refusal(tmp_path / "x")


def test_networks_of_another_kind_are_refused(toys: dict[str, Path], tmp_path: Path) -> None:
    model, path = changed(toys, tmp_path)
    onnx.save(model, path)
    assert "set detector.input_size: 160." in refusal(path, DetectorConfig(family="scrfd", input_size=320))
    model, path = changed(toys, tmp_path)
    onnx.save(model, path)
    assert "is none of the family yunet (detector.family): it has 9 outputs of the shapes (400, 1)," in refusal(path, CONFIGS["yunet"])
    model, path = changed(toys, tmp_path)
    for output in list(model.graph.output)[6:]:
        model.graph.output.remove(output)
    onnx.save(model, path)
    assert "None of them holds five points" in refusal(path)
    model, path = changed(toys, tmp_path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(model, path)
    assert "must have one input of 32-bit floats, (n, 3, height, width), and has 1: 'input' of the shape (1, 1, 160, 160)" in refusal(path)
    for broken, words in ((float("nan"), "numbers that are not finite"), (4.0, "scores of 4 to 4 instead of probabilities")):
        write_detector(tmp_path / "b.onnx", "scrfd", broken=broken)
        assert words in refusal(tmp_path / "b.onnx")


def test_a_network_of_any_size_of_picture_takes_the_one_of_the_parameters(toys: dict[str, Path], tmp_path: Path) -> None:
    """Real exports leave height and width open. Its outputs then are of the size that is asked for, or it is refused."""
    cells = [(96 // stride) ** 2 for stride in STRIDES]
    nodes, outputs = [], []
    for number, stride in enumerate(STRIDES):
        nodes.append(helper.make_node("AveragePool", ["input"], [f"p{number}"], kernel_shape=[stride, stride], strides=[stride, stride]))
        for width in (1, 4, 10):
            name = f"o{number}_{width}"
            weights = helper.make_tensor(f"w{name}", TensorProto.FLOAT, [width, 3, 1, 1], np.zeros(width * 3, np.float32))
            nodes += [
                helper.make_node("Constant", [], [f"w{name}"], value=weights),
                helper.make_node("Conv", [f"p{number}", f"w{name}"], [f"c{name}"]),
                helper.make_node("Transpose", [f"c{name}"], [f"t{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Constant", [], [f"s{name}"], value=helper.make_tensor("s", TensorProto.INT64, [2], [-1, width])),
                helper.make_node("Reshape", [f"t{name}", f"s{name}"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "h", "w"])
    model = helper.make_model(helper.make_graph(nodes, "open", [given], outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / FILE)
    config = DetectorConfig(family="scrfd", input_size=96)
    require_detector(tmp_path, "models/face.onnx", config)
    boxes, probabilities, points = FAMILIES["scrfd"].decode(OnnxDetector(tmp_path, config).outputs(np.zeros((96, 96, 3), np.uint8)), 96)
    assert (len(boxes), probabilities.shape, points.shape) == (sum(cells), (sum(cells),), (sum(cells), 5, 2))


def test_params_name_a_family_with_a_file_and_no_other(tmp_path: Path) -> None:
    found = parse_params("detector: {model: a.onnx, family: yunet}").detector
    assert (found.turned_below, Detector().turned_below) == (0.0, 0.995)
    assert parse_params("detector: {model: a.onnx, family: yunet, turned_below: 0.5}").detector.turned_below == 0.5
    for wrong, words in (
        ("{model: a.onnx}", "a.onnx needs detector.family: scrfd, retinaface or yunet"),
        ("{family: yunet}", "yunet needs a file in ONNX in detector.model"),
        ("{model: a.onnx, family: ssd}", "`detector.family`"),
        ("{model: a.onnx, family: yunet, input_size: 100}", "multiple of 32"),
    ):
        with pytest.raises(UserError, match=words):
            parse_params(f"detector: {wrong}")


class NoRepository:
    """A data repository that tracks one file, in git."""

    def pointer(self, commit: str, name: str) -> None:
        """Nothing is tracked by DVC."""

    def read(self, commit: str, name: str, most: int) -> bytes | None:
        """The content of the one file, in the commit of ones."""
        return FILES.get(name) if commit == "1" * 40 else None


FILES: dict[str, bytes] = {}


def workspace(home: Path, *folders: Path) -> Workspace:
    """A workspace with that repository, whose commits may name files below `folders`, or any."""
    found: Any = SimpleNamespace(
        home=SimpleNamespace(root=home), repository=NoRepository(), settings=SimpleNamespace(model_folders=tuple(map(str, folders)))
    )
    return found


def test_a_commit_and_its_release_have_one_crop_store(toys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = workspace(tmp_path / "home")
    monkeypatch.setitem(FILES, "models/y.onnx", (toys["yunet"] / FILE).read_bytes())
    named = Detector(model="models/y.onnx", family="yunet", input_size=160)
    with pytest.raises(UserError, match=r"detector.model: models/y.onnx is neither mtcnn, nor tracked by DVC"):
        detector_networks(there, named.of("0" * 40))
    detector = pickle.loads(pickle.dumps(named.of("1" * 40)))
    networks = detector_networks(there, detector)
    assert networks.is_relative_to(tmp_path / "home")
    bundle = tmp_path / "bundle"
    shutil.copytree(networks, bundle / "detector")
    write_json(bundle / "recognizer.json", {"detector": recorded_detector(detector)})
    served = served_detector(bundle)
    assert detector_config(served) == detector_config(detector)
    assert detector_fingerprint(there, served) == detector_fingerprint(there, detector)
    assert detector_fingerprint(there, detector.model_copy(update={"min_probability": 0.6})) != detector_fingerprint(there, detector)
    assert detector_fingerprint(there, detector.model_copy(update={"factor": 0.6})) == detector_fingerprint(there, detector)


def test_a_setting_bounds_the_files_that_a_commit_may_name(toys: dict[str, Path], tmp_path: Path) -> None:
    file, home, allowed = toys["yunet"] / FILE, tmp_path / "home", tmp_path / "allowed"

    def networks(folders: tuple[Path, ...], model: Path | str) -> Path:
        return detector_networks(workspace(home, *folders), Detector(model=str(model), family="yunet", input_size=160).of("0" * 40))

    assert networks((), file).is_dir()
    assert networks((file.parent,), file).is_dir()
    allowed.mkdir()
    (allowed / "link.onnx").symlink_to(file)
    for path in (file, allowed / "link.onnx", allowed / ".." / "x.onnx"):
        with pytest.raises(UserError, match="in none of the folders of this machine"):
            networks((allowed,), path)
    with pytest.raises(UserError, match="not a path within the repository"):
        networks((), "../x.onnx")
