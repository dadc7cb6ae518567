"""Body of the webhook: JSON with placeholders, which stays JSON whatever the values contain."""

import json
import re
from dataclasses import asdict
from typing import Any

from face_assets.core.message_template import NAMES, PLACEHOLDER, parse_body
from face_assets.notification.message import Message

DEFAULT_BODY = json.dumps({name: f"{{{name}}}" for name in ("text", *NAMES[:-1])})


def filled_body(template: str, message: Message) -> bytes:
    """Returns the body for a message, in UTF-8.

    A string that is one placeholder alone becomes the value itself, so figures stay an object.
    """
    values = asdict(message) | {"time": message.when(), "text": message.text()}
    return json.dumps(_fill(parse_body(template), values), ensure_ascii=False, allow_nan=False).encode()


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
