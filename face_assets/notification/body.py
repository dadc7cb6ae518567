"""The webhook's body: JSON text with placeholders, filled so that it stays JSON whatever the values hold."""

import json
import re
from dataclasses import asdict
from typing import Any

from face_assets.notification.message import Message

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
NAMES = ("kind", "cause", "title", "reason", "commit", "branch", "author", "asset", "job", "run_id", "figures", "time", "text")
DEFAULT_BODY = json.dumps({name: f"{{{name}}}" for name in ("text", *NAMES[:-1])})


def parse_body(template: str) -> Any:
    """The template as JSON values. Raises ValueError when it is not JSON or holds a placeholder that no message fills."""
    try:
        parsed = json.loads(template)
    except ValueError as error:
        raise ValueError(f'the body is not JSON ({error}); placeholders stand in quotes, such as {{"text": "{{title}}"}}') from error
    unknown = sorted({f"{{{name}}}" for name in _placeholders(parsed) if name not in NAMES})
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in NAMES)
        raise ValueError(f"{', '.join(unknown)} is no placeholder: write {known}, and {{{{ or }}}} for a brace")
    return parsed


def filled_body(template: str, message: Message) -> bytes:
    """The body for a message, in UTF-8. A text that is one placeholder alone becomes the value itself, so figures stay an object."""
    values = asdict(message) | {"time": message.when(), "text": message.text()}
    return json.dumps(_fill(parse_body(template), values), ensure_ascii=False, allow_nan=False).encode()


def _placeholders(part: Any) -> list[str]:
    if isinstance(part, dict):
        return [name for key, value in part.items() for one in (key, value) for name in _placeholders(one)]
    if isinstance(part, list):
        return [name for one in part for name in _placeholders(one)]
    return [found[1] for found in PLACEHOLDER.finditer(part) if found[1] is not None] if isinstance(part, str) else []


def _fill(part: Any, values: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        return {_fill_text(key, values): _fill(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_fill(one, values) for one in part]
    if not isinstance(part, str):
        return part
    alone = PLACEHOLDER.fullmatch(part)
    return values[alone[1]] if alone and alone[1] else _fill_text(part, values)


def _fill_text(text: str, values: dict[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        filled = values[found[1]]
        return filled if isinstance(filled, str) else json.dumps(filled, ensure_ascii=False)

    return PLACEHOLDER.sub(value, text)
