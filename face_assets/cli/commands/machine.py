"""Commands for the services of this machine: server, UI, exporter, keys of the gateway."""

import sys
from dataclasses import asdict

import click

from face_assets.cli.commands.shared import FAILED, json_option, print_json, read_repo_option, repo_option
from face_assets.cli.terminal import print_text, say_next
from face_assets.core.outside_text import echo, shown, shown_lines

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show server, production, traffic, drift, waiting commits and last runs on one screen.

    Exit status 1 when the server does not respond.
    """
    from face_assets.cli.status import status_report
    from face_assets.cli.status_text import next_step, status_text

    found = status_report()
    if as_json:
        print_json(found)
    else:
        print_text(status_text(found))
        say_next(next_step(found))
    sys.exit(0 if found["server"]["ready"] else FAILED)


@click.command()
@read_repo_option
@json_option
def doctor(repo: str | None, as_json: bool) -> None:
    """Examine the machine, the data repository, its remote and the weights before a run.

    A line for each: ok, a warning, or what failed and what to do next. Exit status 1 where something failed.
    """
    from face_assets.cli.doctor import examine

    found = []
    for finding in examine(repo):
        found.append(finding)
        if not as_json:
            state = click.style(f"{finding.state:<8}", COLOURS[finding.state])
            click.echo(f"{state} {shown(finding.subject):<14} {shown_lines(finding.text.splitlines())}")
    failed, warnings = (sum(finding.state == state for finding in found) for state in ("failed", "warning"))
    if as_json:
        print_json([asdict(finding) for finding in found])
    elif failed:
        echo(f"{failed} failed: mend that, and run `face-assets doctor` again.")
    else:
        echo(f"Nothing speaks against a run{f', but see {warnings} above' if warnings else ''}. Next: face-assets run")
    sys.exit(FAILED if failed else 0)


@click.command()
@repo_option
@click.option("--server/--no-server", default=True, help="Start the Triton server.")
@click.option("--ui/--no-ui", default=True, help="Start Dagster's UI and daemon.")
@click.option("--web/--no-web", default=True, help="Start the web service: its API and pages.")
@click.option("--monitoring", is_flag=True, help="Start the exporter and a local Prometheus, where one is installed.")
def up(repo: str | None, server: bool, ui: bool, web: bool, monitoring: bool) -> None:
    """Start the UI, the daemon, the web service, and the server with the release in production."""
    from face_assets.cli.live_server import start_live

    workspace = start_live(repo, server)
    from face_assets.cli.services import start_services  # which imports Dagster

    for line in start_services(workspace, server=server, ui=ui, monitoring=monitoring, web=web):
        echo(line)
    say_next("face-assets status shows how everything is")


@click.command()
def down() -> None:
    """Stop the server, the web service, the UI and the daemon. Nothing is lost."""
    from face_assets.cli.services import stop_services

    stopped = stop_services()
    echo(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
    say_next("face-assets up starts it again")


@click.command()
@click.option("--days", type=click.IntRange(min=0), default=30, show_default=True, help="Days without use; 0: all that is not needed.")
@click.option("--dry-run", is_flag=True, help="Only print what would be removed, and what stays and why.")
@json_option
def prune(days: int, dry_run: bool, as_json: bool) -> None:
    """Remove from the state directory what no run has used for long, counted back from the last use of anything.

    What goes is made again, or fetched from the DVC remote, when it is wanted. What is in production, the release before it, and the
    newest commits of its branches stay, as do the event log and every photo. With fewer than 7 days no run may be under way, and the
    plan is printed before anything goes.
    """
    from face_assets.cli.retention_report import prune_home, pruning_text

    found = prune_home(days, dry_run, None if as_json else print_text)
    print_json(found) if as_json else print_text(pruning_text(found))
    if dry_run and found["removed"]:
        say_next("without --dry-run it is removed")


@click.command()
def exporter() -> None:
    """Serve the platform's metrics for Prometheus until stopped; `up --monitoring` starts it with a Prometheus."""
    from face_assets.cli.exporter import run_exporter

    run_exporter(lambda line: echo(line, err=True))


@click.command()
@click.option("--behind-proxy", is_flag=True, help="On all addresses, for proxies with the secret alone, as in Compose.")
def web(behind_proxy: bool) -> None:
    """Serve the API and the pages until stopped; `up` starts it."""
    from face_assets.web.server import run_web

    run_web(behind_proxy)


rights_option = click.option("--right", "rights", multiple=True, help="identify, embeddings, people or operate; may be repeated.")
rate_option = click.option(
    "--rate", type=click.IntRange(min=0), help="Requests a second; 0: no limit; without it FACE_ASSETS_GATEWAY_RATE."
)


@click.group()
def keys() -> None:
    """API keys of the gateway (docker target). A change applies at once, without a restart."""


@keys.command("add")
@click.argument("name")
@rights_option
@rate_option
def keys_add(name: str, rights: tuple[str, ...], rate: int | None) -> None:
    """Create a key for NAME and print it once: only its hash is stored. Without --right it may identify."""
    from face_assets.cli.keys import add_key

    echo(add_key(name, rights, rate))


@keys.command("change")
@click.argument("name")
@rights_option
@rate_option
def keys_change(name: str, rights: tuple[str, ...], rate: int | None) -> None:
    """Change what the key of NAME may do: the rights that are named, and no others, or its limit."""
    from face_assets.cli.keys import change_key

    echo(change_key(name, rights, rate))


@keys.command("rotate")
@click.argument("name")
@click.option("--overlap", default=24.0, show_default=True, type=click.FloatRange(0, 24 * 366), help="Hours of the old key's validity.")
def keys_rotate(name: str, overlap: float) -> None:
    """Create another key for NAME, with the same rights, and print it once; the old one ends after the overlap."""
    from face_assets.cli.keys import rotate_key

    echo(rotate_key(name, overlap))


@keys.command("list")
@json_option
def keys_list(as_json: bool) -> None:
    """List the valid keys with their rights and last use, and the number of requests without one."""
    from face_assets.cli.keys import list_keys

    found = list_keys()
    if as_json:
        print_json(found)
        return
    for key in found["keys"]:
        limit = "" if key["rate"] is None else f", {key['rate']} a second" if key["rate"] else ", no limit"
        ends = f", until {key['until']}" if key["until"] else ""
        echo(f"{key['name']:<24} {' '.join(key['rights'])}{limit}; since {key['created']}{ends}; last used {key['used'] or 'never'}")
    echo(f"Rejected without a key in force: {'unknown, the gateway does not run' if found['refused'] is None else found['refused']}")


@keys.command("revoke")
@click.argument("name")
def keys_revoke(name: str) -> None:
    """Revoke the key of NAME: requests with it are rejected from now on."""
    from face_assets.cli.keys import revoke_key

    echo(revoke_key(name))
