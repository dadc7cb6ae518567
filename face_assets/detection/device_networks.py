"""The detector's networks on the device of the settings: in ONNX for a GPU, as they are for the CPU."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from face_assets.core.devices import Device
from face_assets.core.inference import Run
from face_assets.core.onnx_runtime import OnnxNetwork
from face_assets.detection.detector import DetectorConfig, FaceDetector
from face_assets.detection.opened_detector import open_detector


@contextmanager
def networks_for(device: Device, networks: Path, config: DetectorConfig) -> Iterator[Path]:
    """The folder from which `open_detector_on` opens a detector: for MTCNN on a GPU a copy with its networks in ONNX, while it is used."""
    if not device.is_gpu or config.family:
        yield networks
        return
    from face_assets.detection.facenet_pytorch import export_detector_in_onnx

    with TemporaryDirectory(prefix="face-assets-detector-") as folder:
        export_detector_in_onnx(Path(folder))
        yield Path(folder)


def open_detector_on(device: Device, networks: Path, config: DetectorConfig) -> FaceDetector:
    """A detector whose networks run on the device; the rest of it needs the CPU. networks: of `networks_for`."""
    if not device.is_gpu:
        return open_detector(networks, config)

    def opened(file: Path, _: Sequence[int] | None) -> Run:
        return OnnxNetwork(file.with_suffix(".onnx"), device.for_any_shape)

    return open_detector(networks, config, opener=opened)
