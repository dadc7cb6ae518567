"""The facts that a model card is made of, and its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from face_assets.core.outside_text import shown_in_markdown


@dataclass(frozen=True)
class CardFacts:
    """Facts of the card. figures: name (trained, start, production) → headline figures of the evaluation.

    verification: the threshold for two photos and its rates, as the evaluation's summary has them.
    precisions: the trials, the served one last; empty if f32 was requested. passed, reasons: the gate's verdict, if known.
    groups: tables of the figures by group, as Markdown; empty without attributes. recognition: `trained`, figures at the
    gate's thresholds, and `beside`, the comparisons with releases of the line. stress: the stress table as in stress.json,
    with TAR at `far`. compatible_with: versions with whose templates the embeddings compare; compatibility: the figures behind it, or why
    there are none. detector, embedder: in words, with the digest of a file.
    """

    commit: str
    dataset: Mapping[str, Any]
    aligned: Mapping[str, Any]
    audited: Mapping[str, Any]
    training: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Any]]
    test_people: int
    gallery: Mapping[str, Any]
    verification: Mapping[str, Any]
    precision: str
    precisions: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any]
    passed: bool | None = None
    reasons: Sequence[str] = ()
    groups: str = ""
    recognition: Mapping[str, Any] = field(default_factory=dict)
    stress: Mapping[str, Any] = field(default_factory=dict)
    far: float = 1e-3
    compatible_with: Sequence[str] = ()
    compatibility: str = ""
    detector: str = "MTCNN"
    embedder: str = "InceptionResnetV1"

    @property
    def is_trained(self) -> bool:
        """False where the starting weights are served."""
        return bool(self.training["epochs"])


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return ["| " + " | ".join(cell if cell.startswith("`") else shown_in_markdown(cell) for cell in line) + " |" for line in lines]
