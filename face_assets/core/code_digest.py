"""The code that a module runs: the modules of this package that it imports, and a digest of their source."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

from face_assets.core.fingerprint import fingerprint

PACKAGE = Path(__file__).parents[1]
NAME = PACKAGE.name


def code_digest(*modules: str, ignored: tuple[str, ...] = ()) -> str:
    """A digest of `modules` and of all that they import from this package; comments, docstrings and layout do not count.

    modules: dotted names that begin with the package's. ignored: modules and packages that are neither counted nor followed.
    """
    return fingerprint(sorted((name, _read(name)[0]) for name in modules_used(*modules, ignored=ignored)))


def modules_used(*modules: str, ignored: tuple[str, ...] = ()) -> list[str]:
    """`modules` and all modules of this package that they import, by name; imports within functions count, too."""
    return _closure(list(modules), lambda name: any(name == one or name.startswith(f"{one}.") for one in ignored))


def imports_of(source: str) -> list[str]:
    """The modules of this package that a file's source imports, directly or not."""
    return _closure(list(_imported(parsed(source))), lambda name: False)


def parsed(source: str) -> ast.Module:
    """The syntax tree of Python source. Raises SyntaxError."""
    try:
        return ast.parse(source)
    except SystemError:  # CPython up to 3.11.7: a traceback was written meanwhile, by a finalizer or another thread (gh-106905)
        return ast.parse(source)


def file_of(module: str) -> Path:
    """The file of a module or package."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _closure(waiting: list[str], is_ignored: Callable[[str], bool]) -> list[str]:
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(found for found in _read(name)[1] if not is_ignored(found))
    return sorted(seen)


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    tree = parsed(file_of(module).read_text(encoding="utf-8"))
    imported = _imported(tree)
    return fingerprint(ast.dump(_without_docstrings(tree))), imported


def _imported(tree: ast.Module) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:  # ruff forbids relative imports
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(sorted({name for name in found if name.startswith(f"{NAME}.") and file_of(name).is_file()}))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree
