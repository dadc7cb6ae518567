"""An engine in eight-bit integers: NNCF's post-training quantization of the OpenVINO network, calibrated on crops."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.embedding.engine_files import save_engine

if TYPE_CHECKING:
    import openvino as ov

SILENCE = "NNCF_CI"
LEARNED = ("Convolution", "GroupConvolution", "MatMul")


def quantize_engine(source: Path, target: Path, crops: np.ndarray) -> None:
    """Writes into the folder `target` the engine of the folder `source` in int8: the same bytes for the same engine and crops.

    crops: uint8 (n, s, s, 3), n >= 1, of people whom the engine may learn from; they tell how large activations get. Whitening, batch
    norm and normalisation at the ends stay in float: they cost next to nothing, and what they lose no layer mends. Raises ValueError
    without crops.
    """
    import openvino as ov

    if not len(crops):
        raise ValueError("calibration needs at least one crop")
    network = ov.Core().read_model(source / "embedder.xml")
    with _silent_nncf() as nncf:
        quantized = nncf.quantize(
            network,
            nncf.Dataset([crop[None] for crop in crops]),
            preset=nncf.QuantizationPreset.MIXED,  # weights symmetric, activations as they come: few of them go below zero
            subset_size=len(crops),
            ignored_scope=nncf.IgnoredScope(names=_ends(network), validate=False),
        )
    save_engine(quantized, source, target, "int8")


def _ends(network: "ov.Model") -> list[str]:
    """The operations before the first layer that learned and after the last one."""
    operations = [one for one in network.get_ordered_ops() if one.get_type_name() not in ("Constant", "Parameter", "Result")]
    after = _reached(operations, lambda one: [output.get_node() for output in one.input_values()])
    before = _reached(operations[::-1], lambda one: [reader.get_node() for end in one.outputs() for reader in end.get_target_inputs()])
    return [one.get_friendly_name() for one in operations if one.get_friendly_name() not in after & before]


def _reached(operations: list[Any], sources: Any) -> set[str]:
    """Names of the operations that learned or that come, by way of `sources`, from one that did; in an order that follows the edges."""
    found: set[str] = set()
    for one in operations:
        if one.get_type_name() in LEARNED or any(source.get_friendly_name() in found for source in sources(one)):
            found.add(one.get_friendly_name())
    return found


@contextmanager
def _silent_nncf() -> Iterator[Any]:
    """NNCF without what it reports to its makers over the network, which is decided where it is first imported, and without its log."""
    before = os.environ.get(SILENCE)
    os.environ[SILENCE] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf

            nncf.set_log_level(logging.ERROR)
            yield nncf
    finally:
        if before is None:
            del os.environ[SILENCE]
