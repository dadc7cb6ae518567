"""HAProxy: configuration, commands of the runtime API, statistics."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.serving.containers.keys import FILES, OWN
from face_assets.serving.rights import IDENTIFY, NAME_HEADER, OPEN, PATHS, PEOPLE, RIGHTS, RIGHTS_HEADER, TOKEN_HEADER
from face_assets.serving.runtime.embedding_right import HEADER

WEIGHT = 100
LARGEST_WEIGHT = 256
BUFFER_BYTES = 524_288
BUFFERS = 1400  # 700 MiB; the gateway has 1024 MiB
HEADER_BYTES = 16_384
JSON_BYTES = 16_384  # nesting of 80,000 does not end Triton 2.51, and 200,000 does
AROUND_PHOTOS = 65_536  # bytes of a request to the web service in addition to its photos
ERRORS = (
    (400, "bad_request", "The request cannot be read."),
    (401, "no_key", "A key is needed that is in force: Authorization: Bearer KEY."),
    (403, "forbidden", "No key may do this."),
    (405, "method_not_allowed", "This method is not allowed."),
    (408, "too_slow", "The request did not come in time."),
    (413, "too_large", "The request is too large: send a smaller photo."),
    (429, "too_many", "The key exceeds its requests a second: send fewer."),
    (500, "fault", "The gateway failed."),
    (502, "fault", "The server failed over this request."),
    (503, "server_down", "No server responds, or no release is live: `face-assets status` says more."),
    (504, "too_slow", "The server did not answer in time."),
)
"""Errors that the gateway itself reports: status, code and sentence, in the web service's shape."""
PROTOCOLS = ("http", "grpc")
BACKENDS = (*PROTOCOLS, "metrics")


@dataclass(frozen=True)
class BackendServer:
    """A server of HAProxy's backends; half of them are live, the others free for a candidate."""

    name: str
    address: str
    live: bool


@dataclass(frozen=True)
class Connections:
    """Limits of connections and requests.

    public, own, metrics: connections of each public listener, of each internal one, and of that for metrics; under_way: requests of callers
    with a key, and of those without; large: requests that exceed a buffer.
    """

    public: int = 2000
    own: int = 500
    metrics: int = 100
    under_way: int = 256
    large: int = 16


@dataclass(frozen=True)
class Limits:
    """Limits of requests. rate: requests a second of one key by one protocol, 0 for no limit; megabytes: largest request."""

    rate: int
    megabytes: float


@dataclass(frozen=True)
class Counts:
    """HAProxy's counts of a server's or backend's requests since its start."""

    requests: int
    lost: int  # refused connections, truncated responses, and requests sent again for such a reason
    under_way: int
    is_up: bool = True


@dataclass(frozen=True)
class Behind:
    """The gateway's access to what is behind it. web: address of the web service; web_token, embeddings_token: the secrets by which the web
    service and the models recognize the gateway."""

    web: str
    web_token: str
    embeddings_token: str


def problem(sentence: str, code: str) -> str:
    """Returns the body of an error."""
    return json.dumps({"error": sentence, "code": code})


def render(template: Path, servers: Sequence[BackendServer], limits: Limits, tls: bool, behind: Behind) -> str:
    """Returns the text of haproxy.cfg."""
    from jinja2 import Environment, StrictUndefined

    made = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return made.from_string(template.read_text(encoding="utf-8")).render(
        servers=servers,
        rate=limits.rate,
        largest=int(limits.megabytes * 1_000_000),
        tls=tls,
        weight=WEIGHT,
        connections=Connections(),
        buffers=BUFFERS,
        buffer_bytes=BUFFER_BYTES,
        header_bytes=HEADER_BYTES,
        json_bytes=JSON_BYTES,
        own=OWN,
        files=FILES,
        errors=ERRORS,
        problem=problem,
        rights=list(RIGHTS),
        open_paths=OPEN,
        right_paths=[(right, PATHS[right]) for right in (PEOPLE, IDENTIFY)],  # the last that matches holds
        headers={"token": TOKEN_HEADER, "name": NAME_HEADER, "rights": RIGHTS_HEADER, "embeddings": HEADER},
        around_photos=AROUND_PHOTOS,
        web=behind.web,
        web_token=behind.web_token,
        embeddings_token=behind.embeddings_token,
    )


def admit(servers: Sequence[str], weight: int = WEIGHT) -> list[str]:
    """Returns commands that admit traffic to servers; with the full weight they also become backups for the case that no other is up."""
    commands = [f"set server {protocol}/{server} weight {weight}" for protocol in PROTOCOLS for server in servers]
    commands += [f"set server {protocol}/{server} state ready" for protocol in PROTOCOLS for server in servers]
    if weight == WEIGHT:
        commands += [f"set server {protocol}/{server}-waits state ready" for protocol in PROTOCOLS for server in servers]
        commands += [f"set server metrics/{server} state ready" for server in servers]
    return commands


def drain(servers: Sequence[str]) -> list[str]:
    """Returns commands after which servers get no new request, and complete those under way."""
    commands = [f"set server {protocol}/{server}-waits state maint" for protocol in PROTOCOLS for server in servers]
    return [*commands, *(f"set server {backend}/{server} state drain" for backend in BACKENDS for server in servers)]


def retire(servers: Sequence[str]) -> list[str]:
    """Returns commands that put drained servers into maintenance."""
    return [f"set server {backend}/{server} state maint" for backend in BACKENDS for server in servers]


def share_weight(share: float) -> int:
    """Returns the weight, relative to WEIGHT, that gives a candidate about `share` of the requests."""
    return max(1, min(LARGEST_WEIGHT, round(WEIGHT * share / (1 - share))))


def parse_counts(stat: str) -> dict[tuple[str, str], Counts]:
    """Returns the output of `show stat` (management guide, 9.1) by proxy and server; a backend's own row has the server BACKEND.

    Raises UserError for other text.
    """
    if not stat.startswith("# pxname,svname,"):
        raise UserError(f"HAProxy's statistics cannot be read; they begin with {stat[:80]!r}.")
    rows = csv.DictReader(io.StringIO(stat.removeprefix("# ").strip()))
    return {
        (row["pxname"], row["svname"]): Counts(
            requests=_number(row["stot"]),
            lost=sum(_number(row[name]) for name in ("econ", "eresp", "wretr")),
            under_way=_number(row["scur"]) + _number(row["qcur"]),
            is_up=str(row["status"]).startswith(("UP", "OPEN", "no check")),
        )
        for row in rows
    }


def parse_uses(table: str) -> dict[str, int]:
    """Returns the output of `show table rates` (management guide, 9.3) as the last use of each key: name → seconds since 1970."""
    found: dict[str, int] = {}
    for key, moment in re.findall(r"key=([A-Za-z0-9._-]+)\|\w+ .*?gpt0=(\d+)", table):
        found[key] = max(found.get(key, 0), int(moment))
    return found


def _number(text: str | None) -> int:
    return int(text) if text else 0
