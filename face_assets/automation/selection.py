"""Asset selections of the command line, resolved against the assets that the webserver has loaded."""

import re
import warnings
from collections.abc import Sequence
from difflib import get_close_matches

import dagster as dg

from face_assets.automation.graphql import AssetNode
from face_assets.core.errors import UserError

WORD = re.compile(r"[^\s()]+")
BARE = re.compile(r"(?P<up>\d*\+|\*)?(?P<name>[A-Za-z_][\w/]*)(?P<down>\+\d*|\*)?")
NAMED = re.compile(r'\bkey:"?([\w/]+)(?![\w/*])')
KEYWORDS = {"and", "or", "not", "sinks", "roots"}


def select(nodes: Sequence[AssetNode], selections: Sequence[str]) -> list[AssetNode]:
    """The union of the selections, in the order of `nodes`.

    A selection has the syntax of the UI's asset search (docs.dagster.io, "Asset selection syntax"); a bare name stands for
    `key:"name"`. Observable sources are left out unless nothing else is selected.
    Raises UserError for an invalid selection, an unknown asset, and an empty result.
    """
    queries = [WORD.sub(_with_key, text) for text in selections]
    for query in queries:
        _require_known([node.name for node in nodes], NAMED.findall(query))
    graph = [_definition(node) for node in nodes]
    chosen = {key.to_user_string() for text, query in zip(selections, queries, strict=True) for key in _resolve(text, query, graph)}
    found = [node for node in nodes if node.name in chosen]
    found = [node for node in found if node.materializable] or [node for node in found if node.observable]
    if not found:
        raise UserError(f"{' '.join(selections)!r} selects no asset that can be launched; there are {_listed(nodes)}.")
    return found


def _with_key(word: re.Match[str]) -> str:
    bare = BARE.fullmatch(word.group())
    if not bare or word.group() in KEYWORDS:
        return word.group()
    up, down = (bare[side] or "" for side in ("up", "down"))
    return f'{up.replace("*", "+")}key:"{bare["name"]}"{down.replace("*", "+")}'


def _require_known(known: Sequence[str], named: Sequence[str]) -> None:
    for name in named:
        if name not in known:
            near = get_close_matches(name, known)
            raise UserError(
                f"There is no asset {name!r}; " + (f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}.")
            )


def _resolve(text: str, query: str, graph: list[dg.AssetsDefinition]) -> set[dg.AssetKey]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # about a parameter that Dagster itself passes
            return set(dg.AssetSelection.from_string(query).resolve(graph))
    except Exception as error:  # Dagster raises various errors for syntax that only its UI supports
        raise UserError(
            f"{text!r} is no asset selection that can be launched: write names (aligned_faces), with what is upstream (+aligned_faces) or "
            "downstream (aligned_faces+), or an expression such as 'group:embedder and not key:\"face_embedder\"'."
        ) from error


def _definition(node: AssetNode) -> dg.AssetsDefinition:
    """A definition with the same name, dependencies and tags: Dagster resolves selections on definitions, which the webserver has."""
    spec = dg.AssetSpec(dg.AssetKey(node.name.split("/")), deps=_keys(node.upstream), group_name=node.group, tags=node.tags)

    @dg.multi_asset(name=spec.key.to_python_identifier(), specs=[spec])
    def definition() -> None: ...

    return definition


def _keys(names: Sequence[str]) -> list[dg.AssetKey]:
    return [dg.AssetKey(name.split("/")) for name in names]


def _listed(nodes: Sequence[AssetNode]) -> str:
    return ", ".join(node.name for node in nodes if node.materializable)
