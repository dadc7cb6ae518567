"""Message: one cause that fires, or that is resolved."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from face_assets.core.credentials import CREDENTIALS
from face_assets.core.outside_text import one_line, shown_lines

LONGEST_REASON = 4000
LONGEST_FIGURE = 500


@dataclass(frozen=True)
class Message:
    """A notification. `cause` names the origin of the problem, from the general to the special: `main: embedder: gate`."""

    kind: Literal["firing", "resolved"]
    cause: str
    title: str
    reason: str = ""
    commit: str = ""
    branch: str = ""
    author: str = ""
    asset: str = ""
    job: str = ""
    run_id: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)

    def text(self) -> str:
        """Returns the message as plain text: title, reason, and the known facts of the run."""
        facts = {
            "commit": self.commit,
            "branch": self.branch,
            "author": self.author,
            "asset": self.asset,
            "run": " ".join(part for part in (self.job, self.run_id) if part),
            **{name: _short(value) for name, value in self.figures.items()},
        }
        lines = [f"{self.kind.capitalize()}: {self.title}"]
        lines += self.reason.split("\n") if self.reason else []
        lines += [f"{name}: {value}" for name, value in facts.items() if value != ""]
        lines.append(f"time: {self.when()}")
        return shown_lines(lines)

    def when(self) -> str:
        """Returns the time of the message in ISO 8601, UTC."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.time))

    def fit_to_send(self) -> "Message":
        """Returns the message with values that JSON can express, without credentials of URLs, and with a title of one line."""
        values = plain(asdict(self))
        title, reason = one_line(values["title"]), values["reason"].strip()
        if len(reason) > LONGEST_REASON:
            reason = reason[:LONGEST_REASON] + " …"
        return replace(self, **{**values, "title": title, "reason": reason})


def plain(value: Any) -> Any:
    """Returns the value as JSON expresses it: NaN, infinities and unknown types as text, and no user or password of a URL in any text."""
    if isinstance(value, Mapping):
        return {str(plain(str(key))): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return CREDENTIALS.sub("…@", str(value).encode("utf-8", "replace").decode())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_FIGURE else text[:LONGEST_FIGURE] + " …"
