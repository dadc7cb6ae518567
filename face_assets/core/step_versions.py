"""Which version of the code made a thing: a digest of the modules that it really uses."""

import ast
from functools import cache
from pathlib import Path

from face_assets.core.fingerprint import fingerprint

PACKAGE = Path(__file__).parent
# They carry values and bytes, whose digests stand in the fingerprints anyway: a change of theirs makes no result anew.
CARRIERS = ("artifacts", "content_store", "errors", "files", "fingerprint", "home", "params", "pipeline.workspace", "registry", "settings")


@cache
def code_version(*modules: str) -> str:
    """A digest of `modules` (dotted names below face_assets) and of all that they import from this package.

    Comments, docstrings, layout and CARRIERS do not count. Imports of `face_assets` are followed wherever they stand in a module.
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen[name], imports = _read(name)
        waiting.extend(imports)
    return fingerprint(sorted(seen.items()))


def _counts(name: str) -> bool:
    if not name.startswith("face_assets.") or not _file(name).is_file():
        return False
    return not any(name == f"face_assets.{carrier}" or name.startswith(f"face_assets.{carrier}.") for carrier in CARRIERS)


def _file(name: str) -> Path:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _read(name: str) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(_file(name).read_text(encoding="utf-8"))
    imports = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name if _file(name).name == "__init__.py" else name.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            base = ".".join(part for part in (package if node.level else "", node.module or "") if part)
            imports += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    ours = tuple(sorted({found for found in imports if _counts(found)}))
    return fingerprint(ast.dump(_without_docstrings(tree))), ours


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree
