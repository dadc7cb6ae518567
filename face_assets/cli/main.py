"""The command `face-assets`: the whole platform from a shell, with exit statuses and JSON for scripts."""

import click

from face_assets import __version__
from face_assets.cli.commands import data, machine, people, recognition, record, releases, runs
from face_assets.cli.commands.shared import Group
from face_assets.core.rights import keep_private
from face_assets.core.settings import default_home
from face_assets.core.user_identity import name_user

COMMANDS = (
    *(data.init, data.commit, data.use, data.params, data.feedback),
    *(runs.run, runs.align, runs.audit, runs.launch, runs.watch, runs.history, runs.demo),
    *(recognition.identify, recognition.verify, recognition.why, recognition.sort),
    *(people.people, people.enrol, people.unenrol, people.rename, people.review, people.forget, people.import_compreface),
    *(releases.releases, releases.approve, releases.sign, releases.promote, releases.rollback, releases.resume),
    *(releases.lineage, releases.compare),
    record.record,
    *(machine.doctor, machine.status, machine.up, machine.down, machine.prune, machine.exporter, machine.web, machine.keys),
)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """From a commit of face photos to a verified answer of a running server.

    State is kept under FACE_ASSETS_HOME (default ~/.face-assets). Exit status: 0 done, 1 an error that the message names,
    2 wrong usage, 3 refused (by the gate, for want of people or faces, or by the deployment check): what is live stays live.
    """
    keep_private(default_home())
    name_user(default_home())


for command in COMMANDS:
    main.add_command(command)
