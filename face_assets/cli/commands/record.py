"""Commands for the record of use."""

import sys
from datetime import datetime
from pathlib import Path

import click

from face_assets.cli.commands.shared import FAILED, json_option, print_json
from face_assets.core.outside_text import echo

DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def record() -> None:
    """Record of use (FACE_ASSETS_RECORD): a chained line for each answer, without a name or a face."""


@record.command("verify")
@click.option("--end", "kept", metavar="NUMBER:HASH", help="An end that an earlier verification printed, kept elsewhere.")
@json_option
def record_verify(kept: str | None, as_json: bool) -> None:
    """Verify that no record was changed, removed, moved or cut off; exit status 1 where one was.

    The end is compared with the file that the server keeps of it, and with what this machine published in the data repository.
    """
    from face_assets.cli.record import verify_record, verify_text

    report = verify_record(kept)
    print_json(report) if as_json else echo(*verify_text(report))
    sys.exit(0 if report["whole"] else FAILED)


@record.command("export")
@click.option("--since", type=DAY, help="The first day, in UTC.")
@click.option("--until", type=DAY, help="The last day, in UTC.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True, help="A table, or the lines.")
@click.option("--output", type=click.Path(path_type=Path), help="A new file; without it, standard output.")
def record_export(since: datetime | None, until: datetime | None, form: str, output: Path | None) -> None:
    """Export the records of a period."""
    from face_assets.cli.record import export_record

    written = export_record(since.date() if since else None, until.date() if until else None, form, output)
    if output:
        echo(f"{output}: {written:,} records")
