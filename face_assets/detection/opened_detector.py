"""The detector of a folder of networks and settings: the same for crops, for requests and on the server."""

from pathlib import Path

from face_assets.core.inference import Opener
from face_assets.detection.detector import DetectorConfig, FaceDetector
from face_assets.detection.mtcnn import Detector
from face_assets.detection.onnx_detector import OnnxDetector


def open_detector(networks: Path, config: DetectorConfig, threads: int = 1, opener: Opener | None = None) -> FaceDetector:
    """MTCNN, or the network in ONNX of the configuration's family, from its folder. Not thread-safe: make one for each thread.

    opener: of its networks; by default on `threads` threads of the CPU.
    """
    return (OnnxDetector if config.family else Detector)(networks, config, threads, opener)
