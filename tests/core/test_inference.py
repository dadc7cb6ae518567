"""A compiled network over many images, and dropped as soon as its last result is there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from face_assets.core.inference import Batches, compile_network


def network_of_sums() -> object:
    """From uint8 (n, 8, 8, 3) to the sums float32 (n, 3) of each channel."""
    import openvino as ov
    from openvino import opset13 as ops

    images = ops.parameter([-1, 8, 8, 3], np.uint8)
    sums = ops.reduce_sum(ops.convert(images, "f32"), ops.constant(np.array([1, 2])), False)
    return ov.Model([ops.result(sums)], [images])


@pytest.mark.parametrize("count", [0, 1, 16, 100])
def test_rows_stand_in_the_order_of_images(count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    rows = Batches(compile_network(network_of_sums(), 2, 2), 2, 16).infer(images)
    assert rows.shape == (count, 3) and np.array_equal(rows, images.sum((1, 2), dtype=np.float32))


def test_an_inference_that_fails_raises_and_the_next_are_answered() -> None:
    batches = Batches(compile_network(network_of_sums(), 2, 2), 2, 16)
    with pytest.raises(RuntimeError):
        batches.infer(np.zeros((100, 9, 9, 3), np.uint8))
    assert batches.infer(np.ones((100, 8, 8, 3), np.uint8)).sum() == 100 * 64 * 3


DROPS = """
from test_inference import *
for _ in range(150):
    Batches(compile_network(network_of_sums(), 2, 2), 2, 16).infer(np.ones((100, 8, 8, 3), np.uint8))
"""


def test_a_network_can_be_dropped_as_soon_as_its_last_result_is_there() -> None:
    """In a process of its own: one that waits for itself with Python's lock held can be ended from outside alone."""
    subprocess.run([sys.executable, "-c", DROPS], cwd=Path(__file__).parent, check=True, timeout=600)


FIRST = """
import sys
import threading

import numpy as np

from face_assets.core.inference import compile_network

together = threading.Barrier(8)


def infer() -> None:
    request = compile_network(sys.argv[1], 1, 1).create_infer_request()
    together.wait()
    request.infer({0: np.ones((1, 8, 8, 3), np.uint8)}, share_inputs=True)


threads = [threading.Thread(target=infer) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_first_inferences_of_a_process_may_come_at_once(tmp_path: Path) -> None:
    """Of a network in a file: one that is made here makes OpenVINO's tables, too."""
    import openvino as ov

    ov.save_model(network_of_sums(), tmp_path / "sums.xml")
    for _ in range(8):
        subprocess.run([sys.executable, "-c", FIRST, str(tmp_path / "sums.xml")], check=True, timeout=300)
