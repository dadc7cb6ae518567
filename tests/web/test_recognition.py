"""Answers from the recognizer's outputs: the reason of a refusal, and outputs that releases of earlier versions do not have."""

import asyncio
from typing import Any

import numpy as np
import pytest
from fastapi import Request
from starlette.types import Message

from face_assets.biometrics.stranger_rates import StrangerRates
from face_assets.gallery.search import Gallery
from face_assets.web.problems import WebError
from face_assets.web.recognition import face_of, match_of
from face_assets.web.recognizer import while_connected
from face_assets.web.release_files import ReleaseFiles

PEOPLE = Gallery(["Ann", "Bob", "Zoë"], np.eye(3, dtype=np.float32))
RATES = StrangerRates((0.0, 0.5), (0.5, 0.01))


def outputs(accepted: bool, **more: Any) -> dict[str, Any]:
    vector = np.array([[0.6, 0.8, 0.0]], np.float32)
    found = {"EMBEDDINGS": vector, "SCORE": np.array([0.8]), "ACCEPTED": np.array([accepted]), "IDENTITY": np.array([b"Bob"])}
    return {**found, "BOXES": np.array([[1, 2, 3, 4]]), "PROBABILITIES": np.array([0.9]), **more}


def files(gallery: Gallery = PEOPLE, rates: StrangerRates | None = RATES) -> ReleaseFiles:
    return ReleaseFiles("v1.0.0", 0.5, 0.4, gallery, rates)


def test_a_refusal_has_its_reason_and_the_nearest_people() -> None:
    found = match_of(outputs(False), 0, files(), 2)
    assert (found.accepted, found.name, found.why, found.score) == (False, None, "below_threshold", 0.8)
    assert [(one.name, round(one.score, 2)) for one in found.nearest] == [("Bob", 0.8), ("Ann", 0.6)]
    assert match_of(outputs(False, TOO_POOR=np.array([True])), 0, files(), 2).why == "too_poor"
    assert match_of(outputs(True, TOO_POOR=np.array([False])), 0, files(), 0).model_dump(include={"name", "why", "nearest"}) == {
        "name": "Bob",
        "why": "accepted",
        "nearest": [],
    }
    assert len(match_of(outputs(True), 0, files(), 100).nearest) == 3
    empty = match_of(outputs(False), 0, files(Gallery([], np.empty((0, 3), np.float32))), 5)
    assert (empty.why, empty.score, empty.stranger_rate, empty.nearest) == ("nobody_enrolled", None, None, [])


def test_the_work_ends_with_a_caller_who_leaves() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(WebError, match="caller has left"):
        asyncio.run(while_connected(Request({"type": "http", "headers": []}, receive), work()))
    assert ended == ["work"]


def test_what_an_earlier_release_does_not_know_is_null() -> None:
    assert match_of(outputs(True), 0, files(rates=None), 1).stranger_rate is None
    assert face_of(outputs(True), 0, None).model_dump(include={"quality", "landmarks"}) == {"quality": None, "landmarks": None}
    assert face_of(outputs(True, QUALITY=np.array([np.nan])), 0, None).quality is None
    assert face_of(outputs(True, QUALITY=np.array([61.5])), 0, None).quality == 61.5
