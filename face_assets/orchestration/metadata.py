"""Metadata of every materialization, by which the event log alone shows how an artifact was made."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from face_assets.core.errors import RefusedError, UnreachableError, UserError
from face_assets.core.full_disk import mendable
from face_assets.core.identifiers import CommitId, commit_id
from face_assets.core.page_addresses import HOW_TO_START, sheets_page
from face_assets.core.provenance import environment
from face_assets.core.settings import default_home
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.step_failures import REFUSED_BY_CHECK, USER_ERROR, StepFailure, refusal
from face_assets.orchestration.tags import BRANCH, COMMIT, MANUAL, named, trigger_of
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import SUMMARY, Artifact

LARGEST_PLOT = 300_000
FIRST = ("made_from", "release", "live", "verdict", "passed", "stage_reason", "reason", "reasons")
HOW_MADE = ("dataset_version", "seed", "parameters", "commit", "author", "subject")
LAST = (*HOW_MADE, "fingerprint", "made_now", "path", "code_version", "environment")
"""What the UI shows above the figures, and below them."""
PLACES: dict[type, int] = {dg.MarkdownMetadataValue: 1, dg.UrlMetadataValue: 1, dg.JsonMetadataValue: 3}
PLOT, SHEET = ".png", ".jpg"
"""Endings of pictures: plots of figures, which the event log holds, and contact sheets of faces, which it links to."""
NAMING, EXAMPLES = ("findings", "examples", "without_a_face", "people_without_face", "people_without_photos"), "_examples"
"""Facts whose values name people, and the end of the names of others."""
RETRIES, SECONDS_BEFORE_A_RETRY = 3, 15
ARTIFACT = dg.PythonObjectDagsterType(Artifact)


def commit_check(asset: str, name: str, description: str, blocking: bool = True) -> dg.AssetCheckSpec:
    """Spec of an asset check that has a result for each commit."""
    return dg.AssetCheckSpec(name, asset=asset, partitions_def=commits, description=description, blocking=blocking)


@contextmanager
def user_errors(context: dg.AssetExecutionContext | None = None) -> Iterator[None]:
    """Turns refusals and errors that a user can correct into a Failure with the sentence.

    A run with another trigger than manual retries a step that failed for an unreachable service.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:
        sentence = mendable(error, default_home())
        if sentence is None:
            raise
        if context and isinstance(error, UnreachableError) and _may_try_again(context):
            raise dg.RetryRequested(RETRIES, seconds_to_wait=SECONDS_BEFORE_A_RETRY * 2**context.retry_number) from error
        if context and isinstance(error, RefusedError):
            raise refusal(context, sentence) from error
        raise StepFailure(sentence, USER_ERROR) from error


def enforce_checks(context: dg.AssetExecutionContext, result: dg.MaterializeResult) -> Iterator[dg.MaterializeResult]:
    """Yields the result with its checks, then refuses the step if a blocking one failed.

    For an asset partitioned by commit a failed check has severity WARN: Dagster shows the newest check as the state of the asset, and
    the commit in production is another one.
    """
    blocking = {spec.name for spec in context.assets_def.check_specs if spec.blocking}
    severity = dg.AssetCheckSeverity.WARN if context.assets_def.partitions_def else dg.AssetCheckSeverity.ERROR
    refused = [one for one in result.check_results or () if not one.passed and one.check_name in blocking]
    yield result._replace(check_results=[one._replace(severity=severity) if one in refused else one for one in result.check_results or ()])
    if refused:
        raise refusal(context, "; ".join(f"{one.check_name}: {one.description}" for one in refused), REFUSED_BY_CHECK)


def _may_try_again(context: dg.AssetExecutionContext) -> bool:
    return context.retry_number < RETRIES and trigger_of(context.run.tags) not in ("", MANUAL)


def commit_of(context: dg.AssetExecutionContext | dg.OpExecutionContext, workspace: Workspace) -> CommitId:
    """The run's commit, which the mirror has. Raises UserError if the partition is no full commit id."""
    commit = commit_id(context.partition_key)
    if workspace.repository.resolve(commit) != commit:
        raise UserError(f"{commit} names a tag and no commit: add the partition that `git rev-parse {commit}^{{commit}}` prints.")
    return commit


def provenance(context: dg.AssetExecutionContext, workspace: Workspace, commit: str | None) -> dict[str, Any]:
    """Commit, dataset version, parameters, code version, seed and environment."""
    facts: dict[str, Any] = {
        "code_version": context.assets_def.code_versions_by_key.get(context.asset_key) or "",
        "environment": environment(),
    }
    if commit:
        params = workspace.params(commit)
        info, tags = workspace.repository.commit_info(commit), context.run.tags
        pointer = workspace.repository.pointer(commit, "photos")
        facts |= {
            "made_from": named(info, tags.get(BRANCH, "") if tags.get(COMMIT) == commit else ""),
            "commit": commit,
            "author": info.author,
            "subject": info.subject,
            "dataset_version": pointer.md5 if pointer else "",
            "parameters": params.model_dump(mode="json"),
            "seed": params.train.seed,
        }
    return facts


def materialized(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    artifact: Artifact,
    plots: Sequence[str] = (),
    checks: Callable[[], list[dg.AssetCheckResult]] = list,
    **more: Any,
) -> dg.MaterializeResult:
    """The result of an asset that holds `artifact`: its facts, plots (names of pictures without their ending), provenance and checks.

    Of a picture of faces it holds the address of the page that shows it.
    """
    facts = more | provenance(context, workspace, context.partition_key) | artifact.summary
    facts |= {"fingerprint": artifact.fingerprint, "made_now": not artifact.reused, "path": dg.MetadataValue.path(str(artifact.directory))}
    pictures: dict[str, Any] = {name: picture(file) for name in plots if (file := artifact.directory / f"{name}{PLOT}").is_file()}
    if sheets := [name for name in plots if (artifact.directory / f"{name}{SHEET}").is_file()]:
        service, asset = workspace.settings.pages_address, context.asset_key.to_user_string()
        pictures |= {name: dg.MetadataValue.url(sheets_page(service, asset, context.partition_key, name)) for name in sheets}
        pictures["pictures"] = HOW_TO_START
    return dg.MaterializeResult(
        value=artifact,
        metadata=as_metadata({**pictures, **facts}),
        data_version=dg.DataVersion(artifact.fingerprint),
        check_results=[one._replace(metadata=without_names(one.metadata)) for one in checks()],
    )


def picture(path: Path) -> dg.MetadataValue:
    """A plot as Markdown that the UI shows; a large one by its path, since large metadata freezes the UI."""
    content = path.read_bytes()
    return dg.MetadataValue.path(str(path)) if len(content) > LARGEST_PLOT else picture_of(content, path.stem)


def picture_of(content: bytes, name: str) -> dg.MetadataValue:
    """A plot's bytes, a PNG, as Markdown."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(content).decode()})")


def as_metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    """JSON-able facts as Dagster's metadata, in the order in which the UI shows them: what it is and the verdict, pictures, figures, lists,
    and last what it was made from and with."""
    values = {key: _value(value) for key, value in without_names(facts).items()}
    return {key: values[key] for key in sorted(values, key=lambda key: _place(key, values[key]))}


def without_names(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with counts in place of lists of people, photos and findings, whose paths name people: the event log keeps all for ever."""
    return {key: _counted(value) if key in NAMING or key.endswith(EXAMPLES) else value for key, value in facts.items()}


def _counted(value: Any) -> Any:
    found = value.data if isinstance(value, dg.JsonMetadataValue) else value
    if not isinstance(found, (list, tuple, dict)):
        return value
    return f"{len(found):,}, in {SUMMARY} of the artifact" if found else "none"


def _place(key: str, value: Any) -> tuple[int, int]:
    if key in FIRST:
        return 0, FIRST.index(key)
    if key in LAST:
        return 4, LAST.index(key)
    return PLACES.get(type(value), 2), 0


def _value(value: Any) -> Any:
    if isinstance(value, dg.MetadataValue):
        return value
    if value is None:
        return "none"
    if isinstance(value, Path):
        return dg.MetadataValue.path(str(value))
    return dg.MetadataValue.json(value) if isinstance(value, (dict, list, tuple)) else value
