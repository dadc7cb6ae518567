"""Failures of steps that Dagster stores and shows as a sentence without a stack trace: refusals and mistakes of the user.

Dagster has no status for a refusal, so a refused run ends as canceled. If it failed, the UI would show as failed all assets that the run
did not reach, which are those of production.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

REFUSED = "Refused"
REFUSED_BY_CHECK = "RefusedByCheck"
USER_ERROR = "Mistake"
REFUSALS = (REFUSED, REFUSED_BY_CHECK, "DagsterAssetCheckFailedError")
"""Names of errors that mean a refusal; the last one in runs of earlier versions."""


class StepFailure(DagsterUserCodeProcessError, dg.Failure):
    """A Failure without retries, stored under the name `kind`.

    For a DagsterUserCodeProcessError Dagster stores the error that it carries, here one without a stack.
    """

    def __init__(self, sentence: str, kind: str, metadata: Mapping[str, Any] | None = None):
        shown = f"Refused: {sentence}" if kind in REFUSALS else sentence
        stored = SerializableErrorInfo(message=f"{shown}\n", stack=[], cls_name=kind)
        super().__init__(sentence, metadata or {}, False, user_code_process_error_infos=[stored])  # type: ignore[no-untyped-call]


def refusal(context: dg.OpExecutionContext | dg.AssetExecutionContext, sentence: str, kind: str = REFUSED) -> StepFailure:
    """The failure for a step to raise; the run then ends as canceled, with the sentence."""
    context.instance.report_run_canceling(context.run, f"Refused: {sentence}")
    return StepFailure(sentence, kind)
