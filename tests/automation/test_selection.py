"""Selections as people write them, on assets as the webserver describes them."""

import pytest

from face_assets.automation.graphql import AssetNode
from face_assets.automation.selection import select
from face_assets.core.errors import UserError


def asset(name: str, *upstream: str, group: str = "embedder", source: bool = False, kind: str = "pytorch") -> AssetNode:
    return AssetNode(name, upstream, group, {f"dagster/kind/{kind}": ""}, ("__ASSET_JOB",), not source, source, "commit")


NODES = [
    asset("photos", group="data", source=True, kind="dvc"),
    asset("manifest", "photos", group="dataset", kind="dvc"),
    asset("crops", "manifest", group="dataset"),
    asset("embedder", "crops"),
    asset("evaluation", "embedder", "crops"),
]


@pytest.mark.parametrize(
    ("selections", "names"),
    [
        (["crops"], "crops"),
        (["crops", "evaluation"], "crops evaluation"),
        (["+embedder"], "manifest crops embedder"),
        (["1+embedder"], "crops embedder"),
        (["*embedder"], "manifest crops embedder"),
        (["embedder+"], "embedder evaluation"),
        (["embedder*"], "embedder evaluation"),
        (["manifest+1"], "manifest crops"),
        (["+crops+1"], "manifest crops embedder evaluation"),
        (["*"], "manifest crops embedder evaluation"),
        (['key:"crops"+'], "crops embedder evaluation"),
        (["key:e*"], "embedder evaluation"),
        (["group:dataset"], "manifest crops"),
        (["group:dataset and not crops"], "manifest"),
        (["(manifest or embedder) and kind:dvc"], "manifest"),
        (["sinks(*)"], "evaluation"),
        (["photos"], "photos"),
    ],
)
def test_a_selection_names_assets(selections: list[str], names: str) -> None:
    assert [node.name for node in select(NODES, selections)] == names.split()


@pytest.mark.parametrize(
    ("selection", "sentence"),
    [
        ("embeder", "There is no asset 'embeder'; did you mean embedder?"),
        ("group:dataset or +evaluaton", "did you mean evaluation?"),
        ('key:"zzz"', "there are photos, manifest"),
        ("crops and", "no asset selection"),
        ("status:healthy", "no asset selection"),
        ("", "no asset selection"),
        ("group:nobody", "selects no asset"),
    ],
)
def test_a_selection_that_is_none_gets_a_sentence(selection: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        select(NODES, [selection])
