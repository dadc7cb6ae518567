"""The part of the cluster's work that every node runs first: is it of the same version? Sent to the nodes by value.

It imports nothing of this package at its top, since a node may lack the package, or have another version of it.
"""

import hashlib
import pickle
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "face_assets"
CODE = "the code of face_assets"
PROCESSOR = "the processor's arithmetic"

_known: dict[str, str] = {}
"""Facts of a node's process, found once. The caller stores none here, since they would be sent along."""


def facts(names: list[str]) -> dict[str, str]:
    """The versions on this machine that `names` lists: distributions, "python", CODE (a digest of its files) and PROCESSOR."""
    return {name: _fact(name) for name in names}


def run(expected: dict[str, str], target: str, work: list[Any], key: str, batch: bytes) -> tuple[dict[str, Any], bytes]:
    """A batch's result, pickled; or, on a node of another version, the differences, and no result.

    expected: `facts` of the caller; target: module and name of the function to call with the reference to the pickled work, its key
    and the pickled batch. Everything is pickled apart, so that nothing of the package is read on a node of another version.
    """
    import ray

    here = ray.get_runtime_context().get_node_id()
    _known.update(facts([name for name in expected if name not in _known]))
    differences = {name: (expected[name], _known[name]) for name in expected if expected[name] != _known[name]}
    if differences:
        return {"node": here, "refused": differences}, b""
    module, _, name = target.partition(":")
    made = getattr(import_module(module), name)(work[0], key, batch)
    return {"node": here}, pickle.dumps(made, protocol=5)


def _fact(name: str) -> str:
    if name == "python":
        return ".".join(platform.python_version_tuple()[:2])
    if name == CODE:
        return _code()
    if name == PROCESSOR:
        return arithmetic()  # the version of OpenVINO has been compared
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "none"


def arithmetic() -> str:
    """The precisions in which this machine's processor computes, by which bf16 and int8 give other bits."""
    import openvino as ov

    return " ".join(sorted(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")))


def _code() -> str:
    """A digest of the package's Python files; "none" where it is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return "none"
    root, digest = Path(next(iter(spec.submodule_search_locations))), hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
