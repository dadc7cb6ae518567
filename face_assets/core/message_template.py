"""Template of the webhook's body in the settings: JSON with placeholders in its texts."""

import json
import re
from typing import Any

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
NAMES = ("kind", "cause", "title", "reason", "commit", "branch", "author", "asset", "job", "run_id", "figures", "time", "text")


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


def _placeholders(part: Any) -> list[str]:
    if isinstance(part, dict):
        return [name for key, value in part.items() for one in (key, value) for name in _placeholders(one)]
    if isinstance(part, list):
        return [name for one in part for name in _placeholders(one)]
    return [found[1] for found in PLACEHOLDER.finditer(part) if found[1] is not None] if isinstance(part, str) else []
