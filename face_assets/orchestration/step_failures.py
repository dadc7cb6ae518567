"""How a step ends that refuses, or that meets a user's mistake: Dagster stores and shows its sentence, without a stack trace.

Dagster has no status for a refusal. A run that refuses ends as canceled: a failed one would colour everything red that it did not come
to make, which is what production consists of.
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
"""The names of a step's error that stand for a refusal, the last in runs of before."""


class StepFailure(DagsterUserCodeProcessError, dg.Failure):
    """A Failure that is not tried again, stored by the name `kind`.

    Of a DagsterUserCodeProcessError Dagster stores the error that it carries, here one without a stack, in place of its own.
    """

    def __init__(self, sentence: str, kind: str, metadata: Mapping[str, Any] | None = None):
        shown = f"Refused: {sentence}" if kind in REFUSALS else sentence
        stored = SerializableErrorInfo(message=f"{shown}\n", stack=[], cls_name=kind)
        super().__init__(sentence, metadata or {}, False, user_code_process_error_infos=[stored])  # type: ignore[no-untyped-call]


def refusal(context: dg.OpExecutionContext | dg.AssetExecutionContext, sentence: str, kind: str = REFUSED) -> StepFailure:
    """What the step is to raise; the run ends as canceled then, with the sentence."""
    context.instance.report_run_canceling(context.run, f"Refused: {sentence}")
    return StepFailure(sentence, kind)
