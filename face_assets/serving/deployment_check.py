"""The deployment check: golden requests through the real protocol, compared with the offline answers and the budget."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_assets.core.errors import UserError
from face_assets.core.params import Serving
from face_assets.serving.client import Answer, RecognizerClient

SCORE_TOLERANCE = 0.005
LATENCY = "latency"
NO_PHOTO = b"this is no photo"


@dataclass(frozen=True)
class GoldenRequest:
    """A photo and the offline answer for its subject; identity: the nearest person, whether accepted or not; threshold: the release's."""

    content: bytes
    embedding: npt.NDArray[np.float32]
    identity: str
    score: float
    threshold: float

    @property
    def accepted(self) -> bool:
        """True where the nearest person is near enough."""
        return self.score >= self.threshold


@dataclass(frozen=True)
class Check:
    """One condition of the deployment check."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class DeploymentReport:
    """The result of a deployment check."""

    release: str
    checks: list[Check]
    golden_requests: int
    min_cosine: float
    median_ms: float
    p99_ms: float

    @property
    def passed(self) -> bool:
        """True where every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> str:
        """The failed checks in a sentence."""
        return "; ".join(f"{check.name}: {check.detail}" for check in self.checks if not check.passed)

    @property
    def only_late(self) -> bool:
        """True where the latency alone failed, so the results are right."""
        return {check.name for check in self.checks if not check.passed} == {LATENCY}


def check_deployment(client: RecognizerClient, release: str, requests: Sequence[GoldenRequest], budget: Serving) -> DeploymentReport:
    """Sends every golden request, after one to warm up. An error of the server fails the check and is not raised."""
    if not requests:
        return DeploymentReport(release, [Check("golden requests", False, "the release has no golden request")], 0, 0.0, 0.0, 0.0)
    answers, milliseconds, errors = [], [], []
    try:
        client.identify(requests[0].content)
    except UserError as error:
        errors.append(str(error))
    for golden in requests:
        started = time.perf_counter()
        try:
            answers.append((golden, client.identify(golden.content)))
        except UserError as error:
            errors.append(str(error))
        milliseconds.append((time.perf_counter() - started) * 1000)
    median, p99 = (float(value) for value in np.percentile(milliseconds, (50, 99)))
    least = float(np.min([_cosine(golden, answer) for golden, answer in answers])) if answers else -1.0  # np.min keeps a NaN, min() may not
    checks = [
        Check("answers", not errors, f"{len(errors)} of {len(requests)} photos failed" + (f", such as: {errors[0]}" if errors else "")),
        Check(
            "embeddings", least >= budget.min_cosine, f"worst cosine with the offline embedding {least:.6f}, required {budget.min_cosine}"
        ),
        _decisions(answers),
        _release(answers, release),
        _bad_input(client),
        Check(LATENCY, median <= budget.max_latency_ms, f"median {median:.0f} ms, p99 {p99:.0f} ms, budget {budget.max_latency_ms:g} ms"),
    ]
    return DeploymentReport(release, checks, len(requests), round(least, 7), round(median, 2), round(p99, 2))


def _cosine(golden: GoldenRequest, answer: Answer) -> float:
    """Returns the cosine with the offline embedding; -1 without a face, or for an embedding of another size."""
    if not answer.faces or answer.faces[0].embedding.shape != golden.embedding.shape:
        return -1.0
    return float(answer.faces[0].embedding @ golden.embedding)


def _decisions(answers: Sequence[tuple[GoldenRequest, Answer]]) -> Check:
    wrong = []
    for golden, answer in answers:
        if not answer.faces:
            wrong.append("a photo's face was not found")
            continue
        face = answer.faces[0]
        expected = golden.identity if golden.accepted else ""
        same_score = abs(face.score - golden.score) <= SCORE_TOLERANCE  # False for a NaN
        either = abs(golden.score - golden.threshold) <= SCORE_TOLERANCE  # so near that the last bits decide
        right = face.identity == (golden.identity if face.accepted else "") and (face.accepted == golden.accepted or either)
        if not same_score or not right:
            wrong.append(f"{face.identity or 'refused'} at {face.score:.4f} instead of {expected or 'refused'} at {golden.score:.4f}")
    return Check("decisions", not wrong, f"{len(wrong)} of {len(answers)} differ from offline" + (f", such as {wrong[0]}" if wrong else ""))


def _release(answers: Sequence[tuple[GoldenRequest, Answer]], release: str) -> Check:
    said = sorted({answer.release for _, answer in answers})
    return Check("release", said == [release], f"the answers come from {', '.join(said) or 'nothing'}, expected {release}")


def _bad_input(client: RecognizerClient) -> Check:
    try:
        client.identify(NO_PHOTO)
    except UserError as error:
        return Check("bad input", "cannot be used" in str(error), f"a file that is no photo is answered: {error}")
    return Check("bad input", False, "a file that is no photo is answered as if it were one")
