"""Parameters of the evaluation, the stress table and the gates."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from face_assets.core.degradations import default_strengths, row_name, rows_of, wrong_condition
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params_section import FilePath, Fraction, Section, Seed


class Stress(Section):
    """The stress table: photos of test people, degraded before their faces are looked for."""

    conditions: dict[str, list[float]] = Field(
        default_factory=default_strengths, description="condition: [strengths], in place of the default table; {} for none"
    )
    photos: int = Field(
        0, ge=0, le=100_000, description="photos in each row of the table; 0 for so many that they cost about an eighth of a full run"
    )
    min_tar: dict[str, Fraction] = Field(
        default_factory=dict, description="gate: floors of TAR at `far`, by row: {resolution 24: 0.5, mask: 0.6}"
    )

    @model_validator(mode="after")
    def _fits(self) -> "Stress":
        wrong = [sentence for name, strengths in self.conditions.items() if (sentence := wrong_condition(name, strengths))]
        if wrong:
            raise ValueError(f"evaluation.stress.conditions: {'; '.join(wrong)}")
        names = [row_name(*row) for row in rows_of(self.conditions)]
        for name in self.min_tar:
            if name not in names:
                raise ValueError(
                    f"evaluation.stress.min_tar: there is no row {name!r} in the table; there are {', '.join(names) or 'none'}"
                )
        for (condition, strength), (harder_condition, harder) in pairwise(
            row for row in rows_of(self.conditions) if row_name(*row) in self.min_tar
        ):
            mild, hard = row_name(condition, strength), row_name(harder_condition, harder)
            if condition == harder_condition and self.min_tar[hard] > self.min_tar[mild]:
                raise ValueError(
                    f"evaluation.stress.min_tar contradicts itself: {hard} is harder than {mild}, and has the higher floor "
                    f"({self.min_tar[hard]:g} and {self.min_tar[mild]:g})"
                )
        return self


class Evaluation(Section):
    """Measurement on the test identities, and the conditions of the gate."""

    far: float = Field(1e-3, gt=0.0, lt=1.0, description="false accept rate of the threshold for two photos")
    fpir: float = Field(
        0.01,
        gt=0.0,
        lt=1.0,
        description="share of strangers whom the gallery may identify as somebody: sets the threshold of identification",
    )
    threshold_confidence: float = Field(
        0.95,
        ge=0.5,
        le=0.999,
        description="confidence with which both thresholds keep `far` and `fpir` for people by whom they were not chosen",
    )
    min_auc: Fraction = Field(0.9, description="gate: absolute floor")
    min_accuracy: Fraction = Field(0.8, description="gate: absolute floor of the 10-fold accuracy")
    min_tar: Fraction = Field(0.0, description="gate: absolute floor of TAR at `far`")
    max_regression: Fraction = Field(
        0.01,
        description="gate: how much worse TAR at `far` and FNIR at `fpir` may be than those of production and of the best release of its "
        "line, on the same photos",
    )
    confidence: float = Field(
        0.95, ge=0.5, lt=1.0, description="gate: how sure it must be that a loss is beyond its bound, by bootstrap over people"
    )
    max_people_lost: Fraction = Field(
        0.05, description="gate: share of the people whom production recognizes that may be recognized no longer; 1 for no bound"
    )
    max_compatibility_loss: Fraction = Field(
        0.005,
        description="how far TAR at `far` of production's templates against new probes may fall below production's own; a release "
        "beyond it is a MAJOR",
    )
    attributes: FilePath | None = Field(
        None, description="CSV file in git here, by identity or photo, whose other columns are groups to evaluate by"
    )
    max_group_gap: Fraction = Field(
        1.0, description="gate: how far apart two groups may be, beyond chance, in how often their people are recognized; 1 for no bound"
    )
    max_group_fmr: Fraction = Field(
        1.0, description="gate: share of pairs of two people of a group that may be taken for one person; 1 for no bound"
    )
    stress: Stress = Field(Stress(), description="figures on degraded photos, by condition and strength")
    seed: Seed = 0

    @model_validator(mode="after")
    def _has_groups_to_bound(self) -> "Evaluation":
        for key in ("max_group_gap", "max_group_fmr"):
            if getattr(self, key) < 1.0 and not self.attributes:
                raise ValueError(f"evaluation.{key} needs groups: name a file in evaluation.attributes")
        return self

    def fingerprint(self) -> str:
        """A digest of the values that decide the evaluation. The bound on compatibility decides a version alone.

        The default stress table is in the step's version, and so in no digest: releases that were made before keep theirs.
        """
        same = {"stress"} if self.stress == Stress() else set()
        return fingerprint(self.model_dump(mode="json", by_alias=True, exclude={"max_compatibility_loss"} | same))


class Gallery(Section):
    """The gate of the gallery. A commit message accepts the change of a person by the trailer `Acknowledge-Person: NAME`."""

    action: Literal["refuse", "report"] = Field("refuse", description="on unacknowledged doubts; report lets the commit go live")
    max_vanished: Fraction = Field(0.05, description="share of production's people who may be enrolled no longer, unacknowledged")
    max_doubtful: Fraction = Field(
        0.05,
        description="share of the people a commit adds or changes who may be in doubt, unacknowledged: photos of somebody else, one face "
        "under two names, poor photos; it spares an import of hundreds, and allows none of fewer than 20",
    )
    min_probability: Fraction = Field(0.9, description="detection probability of a photo that somebody is newly enrolled from")
    min_face: float = Field(32.0, ge=0.0, le=10_000.0, description="shorter side in pixels of the face in such a photo")
    min_sharpness: float = Field(
        1.0,
        ge=0.0,
        le=8.0,
        description="sharpness of its crop, log2(1 + mean curvature of the green channel); a face out of focus has 0.7",
    )
    min_quality: float = Field(
        50.0, ge=0.0, le=100.0, description="quality of the face in such a photo, 0 to 100, by the commit's embedder; where it has a scale"
    )


class Search(Section):
    """The search for a face among the enrolled people. It is exact below `index_from` people, and by an index of faiss from there on."""

    index_from: int = Field(
        2_000_000,
        ge=0,
        le=1_000_000_000,
        description="people from which on the gallery has an index; 0 for none. An exact search takes some 5 ms a million people of 128 "
        "values, and 0.6 GB",
    )
    recall: Fraction = Field(
        0.999,
        description="share of the searches which find somebody for whom the index is to find the same person as an exact search; the model "
        "card has the share that was measured",
    )
