"""Each weight of an embedder in one file: those of the trunk in files that do not change where training changes the head alone.

Of a network NAME, `NAME.trunk.bin` has the trunk's weights for OpenVINO, and `NAME.trunk.onnx.bin` those for ONNX, as its external data.
The head's matrix is that of the state_dict `NAME.pt`, which torch stores uncompressed: both formats refer to its bytes there. `NAME.bin`
has what is left. core/inference.py reads `NAME.trunk.bin`, `NAME.bin` and `NAME.pt` as if they were one file; the last is last since a
network of lower precision has the head in its `NAME.bin`. Releases of earlier versions have all weights in `NAME.bin` and in `NAME.onnx`.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from face_assets.core.files import write_bytes
from face_assets.core.inference import TRUNK

if TYPE_CHECKING:
    import onnx
    import openvino as ov

ONNX_TRUNK = ".trunk.onnx.bin"
LEAST = 1 << 14
"""Bytes of a constant of the trunk file: the smaller ones together have 0.2 MB, and those of int8 depend on the crops of calibration."""
LEAST_TRUNK = 1 << 20
"""Bytes of a trunk below which a network stays in one file."""
ALIGNMENT = 64


def split_network(network: "ov.Model", file: Path) -> None:
    """Moves the trunk's weights of a saved network out of its .bin, and those that are in its .pt, and rewrites the places of all in its
    .xml.

    network: as it was saved, with a name of its own for each operation; file: the .xml. The head is what the first output alone depends
    on. A network with bodies, as of loops, stays as it is.
    """
    tree = ElementTree.parse(file)
    if tree.find(".//body") is not None:
        return
    head = _head(network)
    constants = [(layer.get("name"), layer.find("data")) for layer in tree.iter("layer") if layer.get("type") == "Const"]
    places = {(int(data.attrib["offset"]), int(data.attrib["size"])) for _, data in constants if data is not None}
    trunk = {
        (offset, size)
        for name, data in constants
        if data is not None and name not in head
        for offset, size in [(int(data.attrib["offset"]), int(data.attrib["size"]))]
        if size >= LEAST
    }
    if sum(size for _, size in trunk) < LEAST_TRUNK:
        return
    content = file.with_suffix(".bin").read_bytes()
    first, moved = _packed(content, sorted(trunk), 0)
    stored = _stored(file)
    found = {place: start for place in places - trunk if place[1] >= LEAST and (start := stored.find(_at(content, place))) >= 0}
    rest, others = _packed(content, sorted(places - trunk - found.keys()), len(first))
    moved |= others | {place: len(first) + len(rest) + start for place, start in found.items()}
    for _, data in constants:
        if data is not None:
            data.set("offset", str(moved[int(data.attrib["offset"]), int(data.attrib["size"])]))
    write_bytes(file.with_suffix(TRUNK), first)
    write_bytes(file.with_suffix(".bin"), rest)
    write_bytes(file, ElementTree.tostring(tree.getroot(), encoding="utf-8", xml_declaration=True))


def _stored(file: Path) -> bytes:
    """The bytes of the state_dict next to a network; none where it has none."""
    weights = file.with_suffix(".pt")
    return weights.read_bytes() if weights.is_file() else b""


def _at(content: bytes, place: tuple[int, int]) -> bytes:
    offset, size = place
    return content[offset : offset + size]


def _packed(content: bytes, places: Iterable[tuple[int, int]], start: int) -> tuple[bytes, dict[tuple[int, int], int]]:
    """The bytes of places (offset, size), one after the other, and where each is then, counted from `start`."""
    packed, moved = bytearray(), {}
    for place in places:
        moved[place] = start + len(packed)
        packed += _at(content, place)
        packed += bytes(-len(packed) % ALIGNMENT)
    return bytes(packed), moved


def _head(network: "ov.Model") -> set[str]:
    """Names of the operations on which the first of several outputs alone depends."""
    first, *others = [_inputs_of(result) for result in network.get_results()]
    return first - set().union(*others) if others else set()


def _inputs_of(operation: "ov.Node") -> set[str]:
    found: set[str] = set()
    waiting = [operation]
    while waiting:
        one = waiting.pop()
        if one.get_friendly_name() not in found:
            found.add(one.get_friendly_name())
            waiting += [source.get_source_output().get_node() for source in one.inputs()]
    return found


def split_onnx(file: Path) -> None:
    """Moves the trunk's weights of a network in ONNX into a file next to it, as the format's external data, and refers to those that are
    in its .pt, also where they are transposed there."""
    import onnx
    from onnx.external_data_helper import set_external_data

    model = onnx.load(file)
    head, stored = _head_of_onnx(model.graph), _stored(file)
    packed, there = bytearray(), file.with_suffix(ONNX_TRUNK)
    for tensor in [tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= LEAST]:
        if tensor.name in head:
            turned = onnx.numpy_helper.to_array(tensor).T.tobytes() if len(tensor.dims) == 2 else b""
            if turned and (start := stored.find(turned)) >= 0:
                set_external_data(tensor, file.with_suffix(".pt").name, offset=start, length=len(turned))
                _transpose(model.graph, tensor)
            continue
        start, size = len(packed), len(tensor.raw_data)
        packed += tensor.raw_data
        packed += bytes(-len(packed) % ALIGNMENT)
        set_external_data(tensor, there.name, offset=start, length=size)
        tensor.ClearField("raw_data")
    write_bytes(there, bytes(packed))
    write_bytes(file, model.SerializeToString())


def _transpose(graph: "onnx.GraphProto", tensor: "onnx.TensorProto") -> None:
    """Makes a matrix the transpose of what is in its external data."""
    import onnx

    name = tensor.name
    tensor.ClearField("raw_data")
    tensor.name, tensor.dims[:] = f"{name}_transposed", reversed(tensor.dims)
    graph.node.insert(0, onnx.helper.make_node("Transpose", [tensor.name], [name], perm=[1, 0]))


def _head_of_onnx(graph: "onnx.GraphProto") -> set[str]:
    """Names of the values on which the first of several outputs alone depends."""
    made_by = {name: node for node in graph.node for name in node.output}
    reached: list[set[str]] = []
    for output in graph.output:
        found: set[str] = set()
        waiting = [output.name]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += made_by[name].input if name in made_by else ()
        reached.append(found)
    first, *others = reached
    return first - set().union(*others) if others else set()
