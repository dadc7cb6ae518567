"""YAML and paths as people write them: whatever is wrong with the YAML raises one kind of error."""

import re
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 256 * 1024  # a second or two to parse; people write no more
PATH = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,1000}")


def parse_yaml(text: str | bytes, most: int = MOST_BYTES) -> Any:
    """Parses YAML. Raises ValueError with PyYAML's reason, or with the name of the error inside PyYAML."""
    if len(text) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except Exception as error:  # of `!!bool maybe` a KeyError, of `!!int ""` an IndexError, and so on
        raise ValueError(f"a value that does not fit its tag, or a nest without end ({type(error).__name__}: {error})") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also reports the place of a number that Python does not take."""

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """The number. Raises ConstructorError with its place."""
        try:
            return int(self.construct_yaml_int(node))
        except (ValueError, IndexError) as error:
            raise yaml.constructor.ConstructorError(None, None, f"{node.value[:20]!r} is no number that fits", node.start_mark) from error


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)


def is_path(text: str) -> bool:
    """True for text that can be a path: of sensible length, without control characters and surrogates."""
    return PATH.fullmatch(text) is not None


def expanded(text: str | Path) -> Path:
    """The path with ~ and ~user replaced; a user unknown to this machine is left as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
