"""Quantization of an engine to int8: NNCF's post-training quantization of the OpenVINO network, calibrated on crops."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.core.inference import read_network
from face_assets.embedding.engine_files import save_engine

if TYPE_CHECKING:
    import openvino as ov

SILENCE = "NNCF_CI"
LEARNED = ("Convolution", "GroupConvolution", "MatMul")


def quantize_engine(source: Path, target: Path, crops: np.ndarray) -> None:
    """Writes the engine of the folder `source` in int8 into `target`: the same bytes for the same engine and crops.

    crops: uint8 (n, s, s, 3), n >= 1, of training people, for the ranges of activations. Normalizations at both ends stay in float:
    they cost little time, and no later layer corrects their rounding. Raises ValueError without crops.
    """
    if not len(crops):
        raise ValueError("calibration needs at least one crop")
    network = read_network(source / "embedder.xml")
    with _silent_nncf() as nncf:
        quantized = nncf.quantize(
            network,
            nncf.Dataset([crop[None] for crop in crops]),
            preset=nncf.QuantizationPreset.MIXED,  # weights symmetric, activations asymmetric: few are negative
            subset_size=len(crops),
            ignored_scope=nncf.IgnoredScope(names=_ends(network), validate=False),
        )
    save_engine(quantized, source, target, "int8")


def _ends(network: "ov.Model") -> list[str]:
    """Names of the operations before the first trained layer and after the last one."""
    operations = [one for one in network.get_ordered_ops() if one.get_type_name() not in ("Constant", "Parameter", "Result")]
    after = _reached(operations, lambda one: [output.get_node() for output in one.input_values()])
    before = _reached(operations[::-1], lambda one: [reader.get_node() for end in one.outputs() for reader in end.get_target_inputs()])
    return [one.get_friendly_name() for one in operations if one.get_friendly_name() not in after & before]


def _reached(operations: list[Any], sources: Any) -> set[str]:
    """Names of the trained operations and of those reachable from one by `sources`. `operations`: in the order of the edges."""
    found: set[str] = set()
    for one in operations:
        if one.get_type_name() in LEARNED or any(source.get_friendly_name() in found for source in sources(one)):
            found.add(one.get_friendly_name())
    return found


@contextmanager
def _silent_nncf() -> Iterator[Any]:
    """NNCF without telemetry, which is decided at its first import, and without its log."""
    before = os.environ.get(SILENCE)
    os.environ[SILENCE] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf

            logging.getLogger("nncf").setLevel(logging.ERROR)  # nncf.set_log_level sets all handlers that others gave this logger too
            yield nncf
    finally:
        if before is None:
            del os.environ[SILENCE]
