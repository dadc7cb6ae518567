"""Memory of the web service about people, which is emptied when an erasure has ended on this machine."""

import asyncio
import gc
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from face_assets.core.settings import Settings
from face_assets.registry.erased import CERTIFICATE, erasures
from face_assets.storage.home import Home
from face_assets.web.explanation import Explanations
from face_assets.web.face_pictures import FacePictures
from face_assets.web.people_service import PeopleService
from face_assets.web.release_files import ReleaseFolders
from face_assets.web.review_page import ReviewService

SECONDS_BETWEEN_LOOKS = 5.0


def fill_memory(app: FastAPI, settings: Settings, models: Path | None) -> None:
    """Gives the application empty services. models: the model repository, by default the state directory's."""
    app.state.folders = ReleaseFolders(models or Home(settings.home).serving / "models")
    app.state.people = PeopleService()
    app.state.pictures = FacePictures()
    app.state.review = ReviewService()
    app.state.explanations = Explanations()


class Memory:
    """The memory of an application, emptied after each erasure."""

    def __init__(self, app: FastAPI, settings: Settings, models: Path | None):
        self._app, self._settings, self._models = app, settings, models
        self._ended = self._certificates()
        fill_memory(app, settings, models)

    def _certificates(self) -> set[Path]:
        return set(erasures(self._settings.home).glob(f"*/{CERTIFICATE}"))

    def empty_after_erasure(self) -> bool:
        """Replaces the services if an erasure has ended since; what is being written ends first. It blocks."""
        ended = self._certificates()
        if ended == self._ended:
            return False
        self._ended, former = ended, self._app.state.people
        fill_memory(self._app, self._settings, self._models)
        former.writer.close()
        del former
        gc.collect()
        return True

    async def watch(self) -> None:
        """Looks for erasures that have ended, until it is cancelled."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            await run_in_threadpool(self.empty_after_erasure)
