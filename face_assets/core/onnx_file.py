"""Inspection of files in ONNX before anything runs them: plain operators, all data in the file, one picture as input."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.identifiers import quoted

MOST_BYTES = 1_000_000_000
STANDARD = ("", "ai.onnx")
UNBOUNDED = ("Loop", "Scan")
"""Operators that repeat a part of the network as often as its data say, and so without end."""


@dataclass(frozen=True)
class Picture:
    """The input of a network of pictures (n, 3, height, width). None: a side of any length."""

    name: str
    height: int | None
    width: int | None


def inspect_onnx(path: Path, key: str, shown: str) -> Picture:
    """The input of a network that may be run. Raises UserError that names the parameter `key`, the file as `shown`, and the reason against
    it.

    Operators are those of the ONNX standard, without loops. Weights in other files are neither read nor looked for.
    """
    import onnx

    require_size(path, key, shown)
    try:
        model = onnx.load_model(path, load_external_data=False)
        graph = model.graph
        if not graph.node or not model.opset_import:
            raise ValueError("it holds no network")
    except Exception as error:  # protobuf raises kinds of its own on foreign bytes
        raise _refused(key, shown, f"is no network in ONNX ({_first_line(error)}): export it again, or copy it again") from error
    reason = _reason_against(model)
    if reason:
        raise _refused(key, shown, reason)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # its own kinds, and those of protobuf
        raise _refused(key, shown, f"is no valid ONNX ({_first_line(error)}): export it again") from error
    return _picture(shown, key, graph)


def require_size(path: Path, key: str, shown: str) -> None:
    """Raises UserError for a file that is larger than any network."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise _refused(key, shown, f"has {size:,} bytes, and a network may have {MOST_BYTES:,}")


def _reason_against(model: Any) -> str | None:
    nodes, tensors = list(_nodes(model.graph)), list(_tensors(model.graph))
    custom = sorted({f"{node.domain}.{node.op_type}" for node in nodes if node.domain not in STANDARD})
    if custom or model.functions:
        names = ", ".join(custom[:3] or [f"{one.domain}.{one.name}" for one in model.functions[:3]])
        return f"needs operators beyond the ONNX standard ({quoted(names)}): export it with standard operators alone"
    looped = sorted({node.op_type for node in nodes} & {*UNBOUNDED})
    if looped:
        return f"has the operator {looped[0]}, which may run without end: export it without loops"
    if any(tensor.data_location == tensor.EXTERNAL or tensor.external_data for tensor in tensors):
        return "keeps weights in other files, which are not read: save it as one file (onnx.save_model with save_as_external_data=False)"
    return None


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from _stored(graph)
    for node in _nodes(graph):
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else ()), *attribute.tensors)
            sparse = (*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else ()), *attribute.sparse_tensors)
            yield from (part for one in sparse for part in (one.values, one.indices))
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _stored(inner)


def _stored(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    yield from (part for one in graph.sparse_initializer for part in (one.values, one.indices))


def _picture(shown: str, key: str, graph: Any) -> Picture:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    shape = inputs[0].type.tensor_type.shape.dim if len(inputs) == 1 else ()
    kind = inputs[0].type.tensor_type.elem_type if len(inputs) == 1 else 0
    sides = [side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None for side in shape]
    if len(sides) != 4 or sides[1] not in (3, None) or kind != 1:
        found = "; ".join(f"{quoted(one.name)} of the shape ({_shape(one)})" for one in inputs[:3]) or "none"
        raise _refused(key, shown, f"must have one input of 32-bit floats, (n, 3, height, width), and has {len(inputs)}: {found}")
    return Picture(inputs[0].name, sides[2], sides[3])


def _shape(value: Any) -> str:
    return ", ".join(str(side.dim_value or side.dim_param or "?")[:20] for side in value.type.tensor_type.shape.dim)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _refused(key: str, shown: str, reason: str) -> UserError:
    return UserError(f"{key}: {shown} {reason}.")
