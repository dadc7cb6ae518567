"""Pictures of faces and photos of the data repository, for pages: small JPEGs of what the present commit still lists."""

import io
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Depends, Path, Request, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool

from face_assets.audit.gallery_faces import GALLERY
from face_assets.core.errors import UserError
from face_assets.dataset.decoding import UnusablePhoto, decode
from face_assets.dataset.steps import PHOTOS
from face_assets.detection.crop_keys import crop_key
from face_assets.detection.detectors import crop_store
from face_assets.gallery.photo_checks import PhotoChecks
from face_assets.registry.workspace import Workspace
from face_assets.web.problems import WebError, of_user_error

FACE_SIDE, PHOTO_SIDE = 160, 900
"""Longest side in pixels of a face without a crop, and of a photo."""
QUALITY = 85
QUALITIES_KEPT = 20_000
Crop = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Listed:
    """The photos of a commit. folders: md5 → the tracked folder that lists it."""

    commit: str
    folders: dict[str, str]


class FacePictures:
    """Reads crops and photos. Its methods block; several threads may call them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listed: Listed | None = None
        self._known: OrderedDict[tuple[str, str], float | None] = OrderedDict()

    def face(self, commit: str, md5: str, rank: int) -> bytes:
        """A JPEG of a photo's face: its stored crop, else the photo made small. rank: of the face in the detector's order.

        Raises UserError where the commit does not list the photo, or it cannot be read.
        """
        self._folder(commit, md5)
        crop = self.crops(commit, [crop_key(md5, rank)]).get(crop_key(md5, rank))
        return self.photo(commit, md5, FACE_SIDE) if crop is None else small_jpeg(crop, len(crop))

    def photo(self, commit: str, md5: str, side: int = PHOTO_SIDE) -> bytes:
        """A JPEG of a photo, upright, at most `side` pixels long and wide. Raises UserError as `face` does."""
        folder = self._folder(commit, md5)
        workspace = Workspace.load()
        file = workspace.repository.locate(commit, folder, [md5])[md5]
        try:
            pixels = decode(file.read_bytes(), workspace.params(commit).photos.max_megapixels)
        except UnusablePhoto as error:
            raise UserError(f"The photo cannot be shown: {error.reason}.") from error
        return small_jpeg(pixels, side)

    def crops(self, commit: str, keys: Sequence[str]) -> dict[str, Crop]:
        """The stored crops of `keys`, uint8 (s, s, 3), RGB."""
        workspace = Workspace.load()
        if not workspace.home.detector.is_dir():  # nothing was aligned on this machine
            return {}
        found = {}
        for entry in crop_store(workspace, workspace.params(commit).detector).entries(keys):
            if entry.blob:
                side = math.isqrt(len(entry.blob) // 3)
                found[entry.key] = np.frombuffer(entry.blob, np.uint8).reshape(side, side, 3)
        return found

    def qualities(self, checks: PhotoChecks, commit: str, keys: Sequence[str]) -> dict[str, float | None]:
        """The qualities of faces by production, 0 to 100, by key; None without a scale or a stored crop."""
        production = checks.workspace.stages.production()
        release = production.release.version if production else ""
        with self._lock:
            known = {key: self._known[release, key] for key in keys if (release, key) in self._known}
        crops = self.crops(commit, [key for key in keys if key not in known])
        if crops:
            found = checks.qualities(commit, np.stack(list(crops.values())))
            known |= {key: None if math.isnan(value) else value for key, value in zip(crops, found.tolist(), strict=True)}
        with self._lock:
            self._known.update({(release, key): value for key, value in known.items()})
            while len(self._known) > QUALITIES_KEPT:
                self._known.popitem(last=False)
        return {key: known.get(key) for key in keys}

    def _folder(self, commit: str, md5: str) -> str:
        """The tracked folder that lists a photo, so that pictures of an erased one are not shown. Raises UserError."""
        with self._lock:
            if self._listed is None or self._listed.commit != commit:
                repository = Workspace.load().repository
                names = [name for name in (PHOTOS, GALLERY) if repository.pointer(commit, name)]
                self._listed = Listed(commit, {file.md5: name for name in names for file in repository.files(commit, name)})
            folder = self._listed.folders.get(md5)
        if folder is None:
            raise WebError(404, "The data repository has no such photo.", "not_found")
        return folder


def small_jpeg(pixels: Crop, side: int) -> bytes:
    """Returns a JPEG of pixels uint8 (h, w, 3), RGB, made smaller where they are longer or wider than `side`."""
    image, output = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((side, side))
    image.save(output, "JPEG", quality=QUALITY)
    return output.getvalue()


def pictures_of(request: Request) -> FacePictures:
    """Returns the application's pictures."""
    found: FacePictures = request.app.state.pictures
    return found


Pictures = Annotated[FacePictures, Depends(pictures_of)]
AMd5 = Annotated[str, Path(description="md5 of the photo", pattern="^[0-9a-f]{32}$")]
router = APIRouter(include_in_schema=False)


@router.get("/face/{md5}/{rank}")
async def face(request: Request, pictures: Pictures, md5: AMd5, rank: Annotated[int, Path(ge=0, le=99)]) -> Response:
    """The face of a photo as the detector cut it."""
    return await _picture(request, lambda head: pictures.face(head, md5, rank))


@router.get("/photo/{md5}")
async def photo(request: Request, pictures: Pictures, md5: AMd5) -> Response:
    """A photo, whole."""
    return await _picture(request, lambda head: pictures.photo(head, md5))


async def _picture(request: Request, make: Callable[[str], bytes]) -> Response:
    def made() -> bytes:
        return make(request.app.state.people.head())

    try:
        return Response(await run_in_threadpool(made), media_type="image/jpeg")
    except UserError as error:
        raise of_user_error(error) from error
