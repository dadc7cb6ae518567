"""`face-assets import-compreface`: the subjects of a CompreFace, as folders of photos to enrol from."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import write_bytes
from face_assets.core.progress import Progress
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.people import Photo, valid_name

FACES = "/api/v1/recognition/faces"
PAGE = 500
SECONDS = 60.0
LARGEST = 64_000_000
"""Bytes of a response; CompreFace takes photos of at most 5 MB."""
MOST_FAULTS = 20
Get = Callable[[str], bytes]
"""Returns the body of a GET of a path below the address. Raises UserError."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes to the named address alone."""

    def redirect_request(self, *_: Any) -> None:
        """Follows no redirection."""


def reader(address: str, api_key: str) -> Get:
    """Returns the function that reads from a CompreFace. Raises UserError for an address that is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{address} is no address of a CompreFace, such as http://localhost:8000.")
    if not api_key.isascii() or not api_key.isprintable():
        raise UserError("An API key has printable ASCII characters alone: copy that of a recognition service of CompreFace.")
    base, opener = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", urllib.request.build_opener(_NoRedirect)

    def get(path: str) -> bytes:
        request = urllib.request.Request(base + path, headers={"x-api-key": api_key})
        try:
            with opener.open(request, timeout=SECONDS) as response:
                content: bytes = response.read(LARGEST + 1)
        except urllib.error.HTTPError as error:
            raise UserError(f"{base} rejects the request with status {error.code}: {_message(error)}") from error
        except (OSError, ValueError) as error:
            raise UnreachableError(f"{base} cannot be read ({getattr(error, 'reason', error)}): is CompreFace running there?") from error
        if len(content) > LARGEST:
            raise UserError(f"{base}{path} has more than {LARGEST // 10**6} MB: that is no photo of CompreFace.")
        return content

    return get


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(LARGEST))["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error.reason)


def import_subjects(get: Get, folder: Path, progress: Progress) -> dict[str, Any]:
    """Writes each photo to `folder`/SUBJECT/ID.ending and returns what was written, what was there already and what is left out.

    A photo that is there is not read again, so that an import which broke off goes on. Raises UserError where the list is not to be had.
    """
    there = {file.stem for file in folder.glob("*/*")}
    folders: dict[str, str] = {}
    report: dict[str, Any] = {"subjects": 0, "written": 0, "there": 0, "left_out": []}
    for done, (whole, subject, image) in enumerate(_examples(get), 1):
        try:
            name = valid_name(subject)
            if name.startswith("-"):
                raise UserError(f"{name} begins with a dash, which commands take for an option.")
            name = folders.setdefault(person_key(name), name)
            if str(image) in there:
                report["there"] += 1
            else:
                _write(folder / name, image, get(f"{FACES}/{image}/img"))
                report["written"] += 1
        except UnreachableError:
            raise
        except UserError as error:
            report["left_out"].append(f"{subject} {image}: {error}")
        progress(done, max(whole, done))
    report["subjects"] = len(folders)
    return report


def _write(folder: Path, image: UUID, content: bytes) -> None:
    if not content:
        raise UserError("CompreFace has no photo of it: it ran with save_images_to_db=false, or the photo was removed.")
    photo = Photo("", content, "")
    if not photo.ending:
        raise UserError("it is no photo of a format that is read here.")
    write_bytes(folder / f"{image}{photo.ending}", content)


def _examples(get: Get) -> Iterator[tuple[int, str, UUID]]:
    """The number of all examples, and subject and id of each, page by page."""
    page = 0
    while True:
        try:
            found = json.loads(get(f"{FACES}?page={page}&size={PAGE}"))
            whole, pages = int(found["total_elements"]), int(found["total_pages"])
            examples = [(str(one["subject"]), UUID(str(one["image_id"]))) for one in found["faces"]]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                "The list of faces is none of CompreFace's: name the address of its API, such as http://localhost:8000."
            ) from error
        for subject, image in examples:
            yield whole, subject, image
        page += 1
        if page >= pages or not examples:
            return


def report_text(report: dict[str, Any], folder: Path) -> str:
    """Returns the report as lines of text."""
    lines = [f"{report['written']:,} photos of {report['subjects']:,} subjects written to {folder}, {report['there']:,} were there already"]
    left_out = report["left_out"]
    lines += [f"left out: {one}" for one in left_out[:MOST_FAULTS]]
    lines += [f"… and {len(left_out) - MOST_FAULTS:,} more: --json lists them"] if len(left_out) > MOST_FAULTS else []
    return "\n".join(lines)
