"""A change of an asset's code remakes it, and what is made from it, for the commit in production: once, in one run."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from face_assets.core.settings import load_settings
from face_assets.orchestration.conditions import REDEPLOY, REMAKE, REWRITE
from face_assets.orchestration.partitions import commits
from face_assets.registry.releases import Digests
from face_assets.registry.workspace import Workspace

OLD = "0" * 40


@pytest.fixture
def production(repository: Path, home: Path, bundle: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """The commit whose release is in production."""
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    workspace = Workspace(load_settings())
    commit = workspace.repository.resolve("HEAD")
    workspace.releases.register(bundle(b"1"), commit, "inputs", Digests("1", "a", "a"), {}, {})
    workspace.stages.assign("v1.0.0", f"The gate let it through, for commit {commit}")
    return commit


def code(has_audit: bool = False, **versions: str) -> dg.Definitions:
    """The pipeline in small, with these code versions: aligned → (audited →) trained → released, written → deployed."""
    wanted = dict.fromkeys(("aligned", "audited", "trained", "released", "written", "deployed"), "1") | versions

    def asset(name: str, dep: str | None, condition: dg.AutomationCondition, partitioned: bool) -> dg.AssetsDefinition:
        by = commits if partitioned else None

        @dg.asset(name=name, deps=[dep] if dep else [], automation_condition=condition, partitions_def=by, code_version=wanted[name])
        def body() -> None: ...

        return body

    return dg.Definitions(
        [
            asset("aligned", None, REMAKE, True),
            *([asset("audited", "aligned", REMAKE, True)] if has_audit else []),
            asset("trained", "audited" if has_audit else "aligned", REMAKE, True),
            asset("released", "trained", REMAKE, True),
            asset("written", "released", REWRITE, False),
            asset("deployed", "written", REDEPLOY, False),
        ]
    )


def test_a_change_remakes_what_is_below_for_the_commit_in_production(production: str) -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(commits.name), [OLD, production])
        first = dg.evaluate_automation_conditions(code(), instance=instance)
        assert first.total_requested == 0
        changed = dg.evaluate_automation_conditions(code(trained="2"), instance=instance, cursor=first.cursor)
        asked = {name: changed.get_requested_partitions(dg.AssetKey(name)) for name in ("aligned", "trained", "released")}
        assert asked == {"aligned": set(), "trained": {production}, "released": {production}}
        assert changed.total_requested == 2  # what serves follows the stage tag of the new release
        again = dg.evaluate_automation_conditions(code(trained="2"), instance=instance, cursor=changed.cursor)
        assert again.total_requested == 0


def test_an_asset_of_a_new_version_is_made_where_one_above_it_changed(production: str) -> None:
    """A change below it alone runs without it, and fails: what is above a new asset has to have another version."""
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(commits.name), [production])
        first = dg.evaluate_automation_conditions(code(), instance=instance)
        upgraded = dg.evaluate_automation_conditions(code(has_audit=True, aligned="2", trained="2"), instance=instance, cursor=first.cursor)
        asked = {name: upgraded.get_requested_partitions(dg.AssetKey(name)) for name in ("aligned", "audited", "trained", "released")}
        assert asked == {name: {production} for name in asked}


def test_a_change_of_the_serving_code_writes_and_deploys_once_more(production: str) -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(commits.name), [production])
        first = dg.evaluate_automation_conditions(code(), instance=instance)
        changed = dg.evaluate_automation_conditions(code(written="2"), instance=instance, cursor=first.cursor)
        assert [changed.get_num_requested(dg.AssetKey(name)) for name in ("released", "written", "deployed")] == [0, 1, 1]


@pytest.mark.slow
def test_a_home_that_never_ran_the_commit_in_production_remakes_nothing(production: str) -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(commits.name), [OLD])
        first = dg.evaluate_automation_conditions(code(), instance=instance)
        changed = dg.evaluate_automation_conditions(code(aligned="2"), instance=instance, cursor=first.cursor)
        assert changed.total_requested == 0
