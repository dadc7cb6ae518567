"""Pages of docs/reference that are made from the code: `python -m face_assets.cli.reference` writes them."""

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from face_assets.cli.main import main
from face_assets.core.files import SHARED, write_text
from face_assets.core.params import Params
from face_assets.core.project_files import ROOT
from face_assets.core.settings import PREFIX, Settings

FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Written by `python -m face_assets.cli.reference`: change the code and call it. -->"
KINDS = {"str": "text", "Path": "path", "int": "integer", "float": "number", "bool": "`true`, `false`", "SecretStr": "text"}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
NO_BOUND = 10**9  # a limit beyond it is one of the number's type
ON_THIS_MACHINE = {"home": "`~/.face-assets`", "cores": "all", "serving_env": "`.venv/serving`"}


def pages() -> dict[str, str]:
    """Returns the text of each page, by its file name."""
    return {"settings.md": _settings(), "parameters.md": _parameters(), "commands.md": _commands()}


def _settings() -> str:
    rows = _rows(Settings, lambda name: f"{PREFIX}{name.upper()}", ON_THIS_MACHINE)
    about = (
        "A setting belongs to one machine. The environment variable wins over `settings.json` in the state directory, and that over the\n"
        "default. In `settings.json` the key is the name without the prefix, in lower case. Commas or blanks separate the items of a list."
    )
    return "\n".join([MADE, "# Settings", "", about, "", *_head("setting"), *rows, ""])


def _parameters() -> str:
    about = (
        "Parameters of the pipeline stand in `params.yaml` of the data repository. Each may be left out. `face-assets params` prints a\n"
        "file with every default. An unknown key or a value out of bounds is an error at the start of a run."
    )
    lines = [MADE, "# Parameters", "", about, ""]
    for section, field in Params.model_fields.items():
        model = type(field.default)
        lines += [f"## {section}", "", inspect.getdoc(model) or "", "", *_head("parameter")]
        lines += [*_rows(model, f"{section}.{{}}".format, {}), ""]
    return "\n".join(lines)


def _commands() -> str:
    lines = [MADE, "# Commands", "", inspect.getdoc(main.callback) or "", ""]
    for name, command in sorted(main.commands.items()):
        lines += _command(f"face-assets {name}", command)
    return "\n".join(lines)


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name, terminal_width=100)
    yield f"## {name.removeprefix('face-assets ')}"
    yield ""
    yield "```"
    yield " ".join([name, *command.collect_usage_pieces(context)])
    yield "```"
    yield ""
    yield inspect.cleandoc(command.help or "")
    yield ""
    options = [record for one in command.params if isinstance(one, click.Option) and (record := one.get_help_record(context))]
    if options:
        yield from ("| option | meaning |", "|---|---|")
        yield from (f"| `{_cell(option)}` | {_cell(meaning)} |" for option, meaning in options)
        yield ""
    for below, one in sorted(command.commands.items()) if isinstance(command, click.Group) else []:
        yield from _command(f"{name} {below}", one)


def _head(what: str) -> list[str]:
    return [f"| {what} | default | values | meaning |", "|---|---|---|---|"]


def _rows(model: type[BaseModel], title: Callable[[str], str], defaults: dict[str, str]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from _rows(type(field.default), f"{title(name)}.{{}}".format, {})
            continue
        default = defaults.get(name) or _default(field)
        yield f"| `{title(name)}` | {default} | {_values(field)} | {_cell(field.description or '')} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    text = (
        " ".join(map(str, value))
        if isinstance(value, tuple)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value).replace("'", "")
    )
    return f"`{text}`"


def _values(field: FieldInfo) -> str:
    limits = [(sign, getattr(one, name, None)) for one in field.metadata for name, sign in BOUNDS.items()]
    bounds = [f"{sign} {_number(limit)}" for sign, limit in limits if limit is not None and abs(limit) < NO_BOUND]
    return _cell(", ".join([_kind(field.annotation), *bounds]))


def _number(value: float) -> str:
    return str(int(value) if value == int(value) else value)


def _kind(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (typing.Union, types.UnionType):
        return ", ".join(_kind(one) for one in inner if one is not type(None))
    if origin is typing.Annotated:
        return _kind(inner[0])
    if origin is dict:
        return f"mapping of {_kind(inner[0])} to {_kind(inner[1])}"
    if origin is list:
        return f"list of {_kind(inner[0])}"
    if origin is tuple:
        return f"list of {_kind(inner[0])}" if inner[-1] is ... else f"{len(inner)} times {_kind(inner[0])}"
    return KINDS[annotation.__name__]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    for file, content in pages().items():
        write_text(FOLDER / file, content, SHARED)
