"""params.yaml as text: read with a sentence for each mistake, and written with every default."""

import logging
import reprlib
from functools import cache, lru_cache
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from face_assets.core.errors import UserError
from face_assets.core.params import RENAMED, ROBUST, Params
from face_assets.core.yaml_io import parse_yaml

MOST_SENTENCES, LONGEST_SHOWN = 10, 120
KEPT = 16
"""Texts whose parameters stay in memory: the steps of a run read the same commit's some fifty times."""


@cache
def _warn_once(sentence: str) -> None:
    """Logs a warning once in a process: sensors read the same commit again and again."""
    logging.getLogger(__name__).warning(sentence)


@lru_cache(maxsize=KEPT)
def parse_params(text: str, where: str = "params.yaml") -> Params:
    """Params from YAML text. Raises UserError that names each wrong key, the value found, and what fits."""
    try:
        values: Any = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{where} is not YAML: {error}") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise UserError(f"{where} must be a mapping of sections such as `train:`, found {type(values).__name__}")
    for (section, former), name in RENAMED.items():
        if isinstance(values.get(section), dict) and former in values[section]:
            _warn_once(f"{where}: `{section}.{former}` is now called `{section}.{name}`; the former name is read for one more version")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        sentences = [_sentence(item) for item in error.errors(include_url=False)]
        more = f"; and {len(sentences) - MOST_SENTENCES} more" if len(sentences) > MOST_SENTENCES else ""
        raise UserError(f"{where}: {'; '.join(sentences[:MOST_SENTENCES])}{more}") from None  # its own text holds all that was found


def _sentence(error: Any) -> str:
    key = ".".join(part if isinstance(part, str) and part.isidentifier() else _found(part) for part in error["loc"])[:LONGEST_SHOWN]
    if error["type"] == "extra_forbidden":
        return f"unknown key `{key}`"
    found = "" if isinstance(error["input"], dict) else f", found {_found(error['input'])}"
    return f"`{key or 'the whole'}`: {error['msg'].removeprefix('Value error, ')}{found}"


def _found(value: object) -> str:
    """A value as messages show it: on one line, and shortened."""
    try:
        text = reprlib.repr(value)
    except ValueError:  # Python writes no numbers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def default_params_yaml() -> str:
    """A params.yaml that states every default, each with its description as a comment; those that `train.recipe` sets are comments."""
    lines: list[str] = []
    for name, field in Params.model_fields.items():
        section = field.default
        lines.append(f"# {(type(section).__doc__ or '').strip()}")
        lines.append(f"{name}:")
        for key, info in type(section).model_fields.items():
            value = getattr(section, key)
            plain = value.model_dump() if isinstance(value, BaseModel) else list(value) if isinstance(value, tuple) else value
            dumped = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10_000).removesuffix("\n").removesuffix("\n...")
            comment = f"  # {info.description}" if info.description else ""
            by_recipe = "# " if name == "train" and key in ROBUST else ""  # stated, it would be set
            lines.append(f"  {by_recipe}{key}: {dumped}{comment}")
        lines.append("")
    return "\n".join(lines)
