"""Traffic of face_recognizer: metrics for Prometheus and feature histograms for drift, without any person."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.evaluation.feature_histograms import bins_of, measure, without_face
from face_assets.serving.runtime.embedding_right import has_token
from face_assets.serving.runtime.model_metrics import Metrics
from face_assets.serving.runtime.recorder import SECONDS_A_FLUSH, SECONDS_A_WINDOW, Recorder, log_event
from face_assets.serving.runtime.use_record import caller_of

FOLDER = "FACE_ASSETS_TRAFFIC"
"""Folder of the histograms; without it there are metrics alone."""
FLUSH = "FACE_ASSETS_TRAFFIC_FLUSH"
WINDOW = "FACE_ASSETS_TRAFFIC_WINDOW"
"""Seconds between writes, and seconds of a window."""
INTERNAL = "face_assets_probe"
"""The request parameter of questions that the platform itself asks; they are no traffic. Its value is the token."""
TOKEN = "FACE_ASSETS_PROBE_TOKEN"
"""Secret shared by server and platform; without it every request is traffic."""
CANDIDATE = "candidate_"
SECONDS_A_PUBLICATION = 1.0
MOST_REASONS = 20
MOST_WAITING = 256
"""Photos whose crop is kept until the next publication, 20 MB."""


class Traffic:
    """Traffic of one recognizer. Thread-safe. Its errors are logged and counted, and never stop a response."""

    def __init__(self, model: str, release: str, family: Any, environment: Mapping[str, str] = os.environ):
        """Starts the thread. model: its name; requests to a candidate are the platform's own. family: pb_utils.MetricFamily."""
        self.release = release
        self.is_live = not model.startswith(CANDIDATE)
        self._token = environment.get(TOKEN, "")
        self._lock = threading.Lock()
        self._reasons: dict[tuple[str, str], int] = {}  # (event, reason) → photos
        self._waiting: list[tuple[Any, ...]] = []  # photos to count: faces, accepted ones, and the arguments of `measure` about the subject
        self._ended = threading.Event()
        self._flush_seconds = float(environment.get(FLUSH) or SECONDS_A_FLUSH)
        self._recorder: Recorder | None = None
        if not self.is_live:
            return
        self._metrics = Metrics(family, release)
        if environment.get(FOLDER):
            window = int(environment.get(WINDOW) or SECONDS_A_WINDOW)
            self._recorder = Recorder(Path(environment[FOLDER]), release, self._problem, window)
        self._thread = threading.Thread(target=self._work, name="traffic", daemon=True)
        self._thread.start()

    def record(
        self,
        parameters: str,
        seconds: float,
        crops: Any,
        boxes: Any,
        probabilities: Any,
        embeddings: Any,
        similarities: Any,
        accepted: Any,
        quality: Any,
        poor: Any,
    ) -> None:
        """Counts one photo with a result and its faces, the subject's first.

        parameters: the request's, as JSON; seconds: since its arrival; crops: uint8 (n, s, s, 3), RGB; boxes: float32 (n, 4);
        probabilities, similarities, accepted, quality, poor: (n,); embeddings: float32 (n, d). quality: 0 to 100, or NaN; poor: too poor to
        tell who it is.
        """
        if not self.counts(parameters):
            return
        try:
            faces, taken = len(boxes), int(np.count_nonzero(accepted))
            if self._recorder:
                subject = (np.array(part[:1]) for part in (crops, boxes, probabilities, embeddings, similarities, quality))
                with self._lock:
                    self._waiting.append((faces, taken, *subject))
                    many = len(self._waiting) >= MOST_WAITING
                if many:
                    self._count_waiting()
            self._metrics.count(photos=1, photos_without_face=int(not faces), faces_accepted=taken, faces_refused=faces - taken)
            self._metrics.count(faces_too_poor=int(np.count_nonzero(poor)))
            self._metrics.observe("answer_seconds", (seconds,))
            self._metrics.observe("faces_per_photo", (faces,))
            self._metrics.observe("detection_probability", probabilities)
            self._metrics.observe("face_size_pixels", np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
            self._metrics.observe("best_similarity", similarities)
            self._metrics.observe("face_quality", quality[np.isfinite(quality)])
        except Exception as error:
            self._problem("photo_not_recorded", reason=f"{type(error).__name__}: {error}")

    def refused(self, parameters: str, reason: str) -> None:
        """Counts one photo that could not be used; reason: the server's message."""
        if not self.counts(parameters):
            return
        if self._recorder:
            self._recorder.refused()
        self._metrics.count(photos_refused=1)
        self._remember("photos_refused", reason)

    def failed(self, parameters: str, seconds: float, reason: str) -> None:
        """Counts one photo without a result by a fault of the server. Triton counts an error response of a model as a success."""
        if not self.counts(parameters):
            return
        self._metrics.count(photos_failed=1)
        self._metrics.observe("answer_seconds", (seconds,))
        self._remember("photos_failed", reason)

    def dropped(self, parameters: str, reason: str) -> None:
        """Counts one photo that was not processed: too many waited, or the caller had left."""
        if not self.counts(parameters):
            return
        self._metrics.count(photos_dropped=1)
        self._remember("photos_dropped", reason)

    def counts(self, parameters: str) -> bool:
        """Returns True for traffic: all requests but those to a candidate and those with the platform's token."""
        return self.is_live and not is_internal(parameters, self._token)

    def caller(self, parameters: str) -> str | None:
        """Returns the name of the caller's key, where the platform states it."""
        return caller_of(parameters, self._token)

    def not_recorded(self, answers: int) -> None:
        """Counts answers whose use could not be recorded."""
        self._metrics.count(answers_not_recorded=answers)

    def _remember(self, event: str, reason: str) -> None:
        with self._lock:
            key = (event, reason)
            known = key if key in self._reasons or len(self._reasons) < MOST_REASONS else (event, "others")
            self._reasons[known] = self._reasons.get(known, 0) + 1

    def close(self) -> None:
        """Writes and publishes the rest; called when the recognizer is unloaded."""
        if self.is_live:
            self._ended.set()
            self._thread.join()

    def _work(self) -> None:
        """Publishes metrics and writes histograms, in the one thread for it."""
        publications = max(1, round(self._flush_seconds / SECONDS_A_PUBLICATION))
        pause, turn = min(SECONDS_A_PUBLICATION, self._flush_seconds), 0
        while not self._ended.wait(pause):
            turn += 1
            self._publish(turn % publications == 0)
        self._publish(True)

    def _publish(self, flush: bool) -> None:
        try:
            self._count_waiting()
            self._metrics.publish()
            self._log_reasons()
            if flush and self._recorder:
                self._recorder.flush()
        except Exception as error:
            self._problem("traffic_not_published", reason=f"{type(error).__name__}: {error}")

    def _count_waiting(self) -> None:
        """Counts the waiting photos: together they cost a third of what each costs alone."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if not waiting or self._recorder is None:
            return
        faces, accepted, *subjects = zip(*waiting, strict=True)
        shown = np.array(faces) > 0
        bins = np.tile(without_face(), (len(waiting), 1))
        if shown.any():  # the others have no subject: their arrays are empty
            bins[shown] = bins_of(measure(np.array(faces)[shown], *(np.concatenate(part) for part in subjects)))
        for photo in zip(bins, faces, accepted, strict=True):
            self._recorder.add(*photo)

    def _log_reasons(self) -> None:
        """Logs a line for each reason and second, however many photos: a flood of bad photos must not fill the disk."""
        with self._lock:
            reasons, self._reasons = self._reasons, {}
        for (event, reason), number in reasons.items():
            log_event(event, release=self.release, reason=reason, photos=number)

    def _problem(self, event: str, **facts: Any) -> None:
        self._metrics.count(traffic_problems=1)
        log_event(event, release=self.release, **facts)


def is_internal(parameters: str, token: str) -> bool:
    """Returns True where a request's parameters, as JSON, contain the token of the platform's own requests."""
    return has_token(parameters, INTERNAL, token)
