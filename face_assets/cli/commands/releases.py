"""Commands for releases: list, lineage, comparison, production."""

from pathlib import Path

import click

from face_assets.cli.commands.shared import end, json_option, print_json, read_repo_option
from face_assets.cli.terminal import print_text, say_next
from face_assets.core.outside_text import echo

STAYS = "face-assets resume lets commits replace it again"
FOLLOWS = "face-assets status shows what is live"
reason_option = click.option("--reason", default="", help="The reason, for the tag, the history and the status.")


@click.command()
@read_repo_option
@json_option
def releases(repo: str | None, as_json: bool) -> None:
    """List the registered releases, newest first."""
    from face_assets.cli.releases import list_releases, releases_text

    rows = list_releases(repo)
    if as_json:
        print_json(rows)
    elif not rows:
        echo("No release is registered yet: face-assets run makes the first.")
    else:
        print_text(releases_text(rows))
        say_next("face-assets compare VERSION VERSION, promote VERSION or lineage VERSION")


@click.command()
@click.argument("version")
@click.option("--note", default="", help="What the approver looked at, for the tag, the history and the status.")
@click.option("--no-deploy", is_flag=True, help="Only set the tag; machines that follow the stages deploy it.")
@json_option
def approve(version: str, note: str, no_deploy: bool, as_json: bool) -> None:
    """Approve a candidate as a second person, which puts it into production. Needed where production_approval is `required`.

    Git's identity says who approves; nobody approves a release made from a commit of their own.
    """
    from face_assets.cli.releases import approve_release

    end(approve_release(version, note, not no_deploy, quiet=as_json), as_json, FOLLOWS)


@click.command()
@click.argument("version")
@json_option
def sign(version: str, as_json: bool) -> None:
    """Sign a release that was registered without a signature, with git's SSH key (user.signingKey). See allowed_signers in the settings."""
    from face_assets.cli.releases import sign_registered

    found = sign_registered(version)
    print_json(found) if as_json else echo(f"{found['signed_by']} signed {found['version']} ({found['tag']}).")


@click.command()
@click.argument("version")
@reason_option
@click.option("--follow", is_flag=True, help="Let commits to come replace it; without it, it stays until `face-assets resume`.")
@json_option
def promote(version: str, reason: str, follow: bool, as_json: bool) -> None:
    """Put a release into production: assign its stage tag, check it, send it traffic. It holds until `face-assets resume`."""
    from face_assets.cli.releases import promote_release

    end(promote_release(version, reason, follow, quiet=as_json), as_json, STAYS if not follow else FOLLOWS)


@click.command()
@reason_option
@json_option
def rollback(reason: str, as_json: bool) -> None:
    """Go back to the release that was in production before this one. It holds until `face-assets resume`."""
    from face_assets.cli.releases import roll_back

    end(roll_back(reason, quiet=as_json), as_json, STAYS)


@click.command()
@reason_option
@json_option
def resume(reason: str, as_json: bool) -> None:
    """Let production follow the commits again after a manual promotion or rollback; the waiting release is judged and deployed.

    A failed deployment on this machine is tried again at once.
    """
    from face_assets.cli.releases import resume_following

    found = resume_following(reason, quiet=as_json)
    if not as_json and not found["run_for"]:
        echo("Production follows the commits again." if found["released"] else "Production follows the commits: no decision holds.")
    end(found, as_json)


@click.command()
@click.argument("version")
@json_option
def lineage(version: str, as_json: bool) -> None:
    """Show the lineage of VERSION (or `live`), from the event log alone."""
    from face_assets.cli.lineage_report import lineage_report, lineage_text

    found = lineage_report(version)
    print_json(found) if as_json else print_text(lineage_text(found))


@click.command()
@click.argument("first")
@click.argument("second")
@read_repo_option
@click.option("--output", type=click.Path(path_type=Path), help="A file to write, .html or .md with the curves; without it, the terminal.")
@json_option
def compare(first: str, second: str, repo: str | None, output: Path | None, as_json: bool) -> None:
    """Compare two releases, or any two evaluated commits, such as branches: figures, ROC, data, parameters, and pairs that became worse.

    FIRST and SECOND are versions, or commits as git names them, evaluated on this machine: `face-assets compare exp/branch main`.
    """
    from face_assets.cli import comparison_page as comparing

    found = comparing.compare_releases(repo, first, second)
    if output:
        for file in comparing.write_page(found, output):
            echo(f"Written: {file}", err=as_json)
    if as_json:
        print_json(comparing.as_json(found))
    elif not output:
        click.echo(comparing.as_markdown(found))
