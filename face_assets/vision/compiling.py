"""OpenVINO networks compiled for some of this machine's processors."""

from typing import Any


def compile_network(network: Any, threads: int, streams: int, precision: str = "f32", **settings: Any) -> Any:
    """`network`, a model or its file, on `threads` threads that work on `streams` inferences at once; precision: f32 or bf16."""
    import openvino as ov

    settings |= {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
    # pinned, every process with one thread would infer on the first processor, and the others stand still
    return ov.Core().compile_model(network, "CPU", settings | {"ENABLE_CPU_PINNING": False})
