"""Parameters of photos, people, the detector and the audit of labels."""

from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from face_assets.core.params_section import FilePath, Fraction, Section, SignedSeed

MTCNN = "mtcnn"
"""`detector.model` of the detector that comes with the platform."""


class Split(Section):
    """Division of the identities; an identity keeps its split when photos or people are added."""

    validation: Fraction = Field(0.1, description="share of the identities that training watches but does not learn from")
    test: Fraction = Field(0.2, description="share of the identities that only the evaluation sees")
    seed: SignedSeed = Field(0, description="another seed divides the people anew")
    min_test_people: int = Field(
        10,
        ge=2,
        le=10**9,
        description="test people with two photos or more that it takes to judge an embedder: with fewer none is trained, and the gate's "
        "floors of AUC and accuracy are not judged; from embedder.weights: scratch fewer fail the data set's check",
    )

    @model_validator(mode="after")
    def _leaves_people_to_train(self) -> "Split":
        if self.validation + self.test >= 1.0:
            raise ValueError("split.validation + split.test leave nobody to train on: their sum must be below 1")
        return self


class Photos(Section):
    """Limits for photos."""

    max_megapixels: float = Field(100.0, gt=0.0, le=178.0, description="larger images are rejected before they are decoded")
    max_unusable: Fraction = Field(0.05, description="share of unreadable photos past which the data set's check fails")
    near_duplicate_distance: int = Field(3, ge=0, le=16, description="bits of 64 in which the hashes of near duplicates may differ")


class Detector(Section):
    """The detector and the crop; what is set here decides which crop store is used (consensus has that of largest)."""

    model: FilePath = Field(
        MTCNN, description="mtcnn, or a detector in ONNX with boxes, probabilities and five points: a path, or DVC-tracked here"
    )
    family: Literal["scrfd", "retinaface", "yunet"] | None = Field(
        None, description="of a model in ONNX: the family whose input and outputs it has; None for mtcnn"
    )
    input_size: int = Field(
        640, ge=64, le=2048, multiple_of=32, description="of a model in ONNX: side of its input, into which photos are scaled as a whole"
    )
    min_probability: float = Field(
        0.5, gt=0.0, le=1.0, description="of a model in ONNX: probability of a face from which on it counts, as `thresholds` of mtcnn"
    )
    max_overlap: Fraction = Field(
        0.4, description="of a model in ONNX: intersection over union past which the less probable of two boxes is dropped"
    )
    choose: Literal["consensus", "largest", "most_probable", "most_central"] = Field(
        "consensus",
        description="which of several faces is the photo's subject; consensus: the one that agrees with the person's other photos where "
        "there are three or more, else the largest, as in a request",
    )
    image_size: int = Field(160, ge=80, le=512, description="side of the crop in pixels")
    margin: int = Field(32, ge=0, le=256, description="pixels around the box, at the crop's scale")
    min_face_size: int = Field(20, ge=12, le=10**6, description="of mtcnn: smallest face to look for, in pixels of the (reduced) photo")
    thresholds: tuple[Fraction, Fraction, Fraction] = Field(
        (0.6, 0.7, 0.7), description="of mtcnn: probabilities that P-Net, R-Net and O-Net must reach"
    )
    factor: float = Field(0.709, gt=0.1, lt=0.95, description="of mtcnn: step of the scale pyramid")
    max_side: int = Field(
        1024,
        ge=160,
        le=10**6,
        description="of mtcnn: longer photos are reduced to this side for the search; the crop is cut from the full photo",
    )
    align: Literal["box", "upright", "similarity"] = Field(
        "similarity",
        description="box: the crop shows the face as the photo does; upright: turned until it is upright where its tilt exceeds 10°, "
        "else as box; similarity: turned, scaled and moved so that eyes, nose and mouth come where ArcFace's crops have them, "
        "without `margin`",
    )
    turned_below: Fraction = Field(
        0.995,
        description="a photo in which no face reaches this probability is also searched turned by 90, 180 and 270°, and has the faces of "
        "the surest direction; 0: never, the default with a model in ONNX, whose probabilities have another scale",
    )
    max_rejected: Fraction = Field(0.1, description="share of photos without a usable face past which the check fails")
    _origin: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _is_turned_by_mtcnn_alone(cls, values: Any) -> Any:
        is_onnx = isinstance(values, dict) and values.get("family") is not None
        return {"turned_below": 0.0, **values} if is_onnx else values

    @model_validator(mode="after")
    def _has_a_family_in_onnx(self) -> "Detector":
        if self.model != MTCNN and self.family is None:
            raise ValueError(f"detector.model: {self.model} needs detector.family: scrfd, retinaface or yunet, whose outputs it has")
        if self.model == MTCNN and self.family is not None:
            raise ValueError(f"detector.family: {self.family} needs a file in ONNX in detector.model, which is {MTCNN}")
        return self

    @property
    def origin(self) -> str:
        """The commit, or the folder of a release's bundle, by which the file of a model in ONNX is found; empty for mtcnn."""
        return self._origin

    def of(self, origin: str) -> "Detector":
        """These settings with their origin, where the model is a file."""
        if self.family is None:
            return self
        found = self.model_copy()
        found._origin = origin
        return found


class Audit(Section):
    """Labels that the faces contradict."""

    action: Literal["report", "leave_out"] = Field(
        "report",
        description="report lists findings; leave_out also keeps photos of the wrong person from training, evaluation and enrolment",
    )
    max_wrong_person: Fraction = Field(
        0.05, description="share of the photos with another one of their person that may show somebody else, past which the check fails"
    )
    max_two_names: Fraction = Field(0.05, description="pairs of names of one person, by the number of people, past which the check fails")
    max_two_people: Fraction = Field(0.05, description="share of the names that may hold photos of two people, past which the check fails")
