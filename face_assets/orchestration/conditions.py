"""Automation conditions: an asset whose code changed is remade for the commit in production."""

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.orchestration.partitions import commits
from face_assets.registry.workspace import Workspace


class InProduction(dg.AutomationCondition[dg.AssetKey]):
    """Condition that holds for the partition of the commit in production."""

    @property
    def name(self) -> str:
        """Name in the UI."""
        return "in_production"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Evaluates the condition by the stage tags of the mirror."""
        if context.candidate_subset.is_empty:
            return dg.AutomationResult(context, context.candidate_subset)
        commit = _commit_in_production()
        is_partition = commit and context.asset_graph_view.instance.has_dynamic_partition(str(commits.name), commit)
        production = {commit} if commit and is_partition else set[str]()
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(production))


def _commit_in_production() -> str | None:
    try:
        production = Workspace.load().stages.production()
    except UserError:
        return None
    return production.commit if production else None


CHANGED = dg.AutomationCondition.code_version_changed()
CHANGED_OR_FOLLOWS = CHANGED | dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())  # in the same run
REMAKE = (CHANGED_OR_FOLLOWS & InProduction()).with_label("code changed: once more for the commit in production")
REWRITE = CHANGED.with_label("code changed")  # a new release is deployed by its stage tag
REDEPLOY = CHANGED_OR_FOLLOWS.with_label("code changed")
