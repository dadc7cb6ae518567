"""params.yaml of a data repository: every parameter of the pipeline, typed, bounded and explained in one place."""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from face_assets.core.degradations import default_strengths, row_name, rows_of, wrong_condition
from face_assets.core.fingerprint import fingerprint
from face_assets.core.yaml_io import is_path


def _path(text: str) -> str:
    if not is_path(text):
        raise ValueError("is no path (between double quotes YAML takes \\n for a new line and \\0 for a zero: take single quotes)")
    return text


FilePath = Annotated[str, AfterValidator(_path)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, le=1e9)]
Pixel = Annotated[float, Field(ge=0.0, le=255.0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
SignedSeed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
SCRATCH = "scratch"
"""`embedder.weights` of a network that begins at random."""
MTCNN = "mtcnn"
"""`detector.model` of the detector that comes with the platform."""
View = Literal["camera", "turned", "covered"]
"""Kinds of degraded views of a crop (embedding/degradation.py)."""
Block = Literal["head", "block8", "repeat_3", "mixed_7a", "repeat_2", "mixed_6a", "repeat_1", "all"]


class Section(BaseModel):
    """A section of params.yaml: immutable, unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def fingerprint(self) -> str:
        """A digest of the section's values, under the former names of parameters that were renamed."""
        return fingerprint(self.model_dump(mode="json", by_alias=True))


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


class Embedder(Section):
    """Starting weights and input of the network."""

    weights: FilePath = Field(
        "vggface2",
        description="vggface2, casia-webface, scratch, a state_dict (.pt), a Keras facenet (.h5) or a network in ONNX (.onnx), which is "
        "served as it is: a path, or DVC-tracked here",
    )
    embedding_size: int = Field(
        512, ge=16, le=2048, description="length of the vector when training from scratch; otherwise the weights decide"
    )
    whitening: Literal["fixed", "per_image"] = Field(
        "fixed",
        description="input normalization: fixed is (x - 127.5) / 128, facenet-pytorch's; per_image is (x - mean) / std, facenet's own",
    )
    channels: Literal["rgb", "bgr"] = Field("rgb", description="of weights in ONNX: order of the channels of its input")
    mean: tuple[Pixel, Pixel, Pixel] = Field(
        (127.5, 127.5, 127.5), description="of weights in ONNX: subtracted from pixels of 0 to 255, in the order of `channels`"
    )
    std: tuple[Positive, Positive, Positive] = Field((127.5, 127.5, 127.5), description="of weights in ONNX: by which that is divided")

    @model_validator(mode="after")
    def _normalizes_in_one_way(self) -> "Embedder":
        stated = self.model_fields_set & {"channels", "mean", "std"}
        if self.is_onnx and self.whitening != "fixed":
            raise ValueError(f"embedder.whitening: {self.whitening} is not for weights in ONNX, which have `mean` and `std`")
        if not self.is_onnx and any(getattr(self, key) != type(self).model_fields[key].default for key in stated):
            raise ValueError(f"embedder.{min(stated)} is of weights in ONNX; others have `whitening`")
        return self

    @property
    def is_onnx(self) -> bool:
        """True for weights that are a whole network in ONNX, by the file's suffix."""
        return self.weights.lower().endswith(".onnx")


ROBUST: dict[str, Any] = {
    "unfreeze": "repeat_3",
    "epochs": 4,
    "batch_size": 256,
    "learning_rate": 0.0003,
    "embedding_regularization": 4.0,
    "degrade": {"camera": 3, "covered": 1},
}
"""What `train.recipe: robust` sets; chosen on validation people of LFW (docs/explanation/training.md)."""


class Train(Section):
    """Training of the embedder."""

    recipe: Literal["auto", "clean", "robust"] = Field(
        "auto",
        description="robust learns from degraded views too, and so sets those of unfreeze, epochs, batch_size, learning_rate, "
        "embedding_regularization and degrade that are not stated here; clean sets none; auto is robust where none of them is stated and "
        "there are `robust_from` people to train on",
    )
    robust_from: int = Field(1000, ge=2, le=10**9, description="people to train on from whom on recipe auto is robust; not from scratch")
    unfreeze: Block = Field("head", description="head (over stored trunk features), a block from which on to train, or all")
    epochs: int = Field(12, ge=0, le=10_000, description="0 keeps the starting weights")
    min_people: int = Field(
        200,
        ge=2,
        le=10**9,
        description="people to train on below whom nothing is trained, for the starting weights recognize as well; not for scratch",
    )
    again_at: float = Field(
        0.2,
        ge=0.0,
        le=1e9,
        description="share of new photos or people to train on, of those that the embedder in production learned from, from which on "
        "a commit trains; below it that embedder is kept; 0 trains for every commit",
    )
    batch_size: int = Field(512, ge=2, le=10**6)
    learning_rate: Positive = Field(0.0005, description="of the network; class centres learn at centre_learning_rate")
    centre_learning_rate: Positive = Field(0.01, description="of the class centres")
    weight_decay: float = Field(0.001, ge=0.0, le=1e9)
    margin: float = Field(0.35, ge=0.0, lt=1.0, description="CosFace margin on the cosine")
    scale: Positive = Field(32.0, description="CosFace scale")
    embedding_regularization: float = Field(
        1.0,
        ge=0.0,
        le=1e9,
        validation_alias=AliasChoices("embedding_regularization", "anchor"),
        serialization_alias="anchor",
        description="weight of the distance to the starting embedding in the loss, which keeps what it has learned; 0 for none",
    )
    compatible_with: Literal["production", "none"] = Field(
        "production",
        description="pulls towards the embeddings of the release in production, where that begins with the same frozen blocks, so that "
        "stored templates still compare and the next release is no MAJOR; none trains freely",
    )
    compatibility: float = Field(
        1.0, gt=0.0, le=1e9, description="weight of the distance to production's embedding in the loss, with compatible_with: production"
    )
    photos_per_person: int = Field(0, ge=0, le=64, description="photos of a person in a batch; 0 shuffles plainly")
    flip: bool = Field(True, description="mirror crops at random where the trunk is trained")
    degrade: dict[View, Annotated[int, Field(ge=1, le=64)]] = Field(
        {},
        description="degraded views of each photo to learn from, by kind, for example {camera: 4, turned: 1, covered: 1}: camera is few "
        "pixels, blur, noise, bad light and compression, turned is up to 35° in the plane, covered is a mask, sunglasses, a cap or an "
        "object; each photo is then learned from once as it is and once degraded in an epoch",
    )
    precision: Literal["f32", "bf16"] = Field(
        "f32", description="arithmetic of the trained blocks; bf16 is faster where the processor has it, the head stays in f32"
    )
    seed: SignedSeed = 0

    def for_people(self, people: int) -> "Train":
        """These settings with what the recipe sets for so many people to train on."""
        stated = self.model_fields_set & set(ROBUST)
        if self.recipe == "clean" or (self.recipe == "auto" and (stated or people < self.robust_from)):
            return self
        return self.model_copy(update={key: value for key, value in ROBUST.items() if key not in stated})

    def fingerprint(self) -> str:
        """A digest of what decides a training by itself: not `min_people` and `again_at`, which decide whether there is one, nor the
        recipe, whose values are digested, nor what compatibility adds, which is digested with production; nor `degrade` where it is
        empty, under which no name had it."""
        unused = {"recipe", "robust_from", "min_people", "again_at", "compatible_with", "compatibility"}
        unused |= {"degrade"} if not self.degrade else set()
        return fingerprint(self.model_dump(mode="json", by_alias=True, exclude=unused))


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


class Export(Section):
    """The engine that serves."""

    precision: Literal["f32", "bf16", "int8"] = Field(
        "f32",
        description="arithmetic of the engine; int8 serves about 4 and bf16 2 times as fast, but every new embedder then embeds every crop "
        "anew, and it takes many test people to measure the loss. Falls back from int8 to bf16 to f32",
    )
    max_tar_loss: Fraction = Field(
        0.002, description="how much of TAR at evaluation.far on the test people a lower precision may lose against f32"
    )
    min_cosine: float = Field(0.9999, gt=0.0, le=1.0, description="parity of the exported graph with torch in f32, worst of real crops")


class Serving(Section):
    """Deployment checks, batching and limits of requests."""

    golden_requests: int = Field(
        16,
        ge=1,
        le=1000,
        validation_alias=AliasChoices("golden_requests", "probes"),
        serialization_alias="probes",
        description="test photos with which the deployment check requests answers of the candidate",
    )
    max_latency_ms: Positive = Field(1000.0, description="budget for the median answer of face_recognizer, one photo at a time")
    min_cosine: float = Field(0.999, gt=0.0, le=1.0, description="served against offline embedding, worst golden request")
    max_batch: int = Field(32, ge=1, le=256, description="crops that the embedder takes at once")
    preferred_batch: int = Field(
        8,
        ge=1,
        le=256,
        description="crops that a thread of the embedder computes at once; it is as fast on 8 as on 16, at half the latency",
    )
    queue_delay_us: int = Field(
        10_000,
        ge=0,
        le=60_000_000,
        description="how long crops wait for others, if that many arrived lately: about the time between two requests of a caller",
    )
    photos_at_once: int = Field(
        16,
        ge=1,
        le=256,
        description="photos that the recognizer processes at once: enough that crops of many photos reach the embedder together",
    )
    detector_batch: int = Field(
        4,
        ge=1,
        le=64,
        description="waiting photos that a detector searches together: 14 ms of a core each, alone 17; 16 together 12, but late",
    )

    max_bytes: int = Field(20_000_000, ge=100_000, le=200_000_000, description="largest photo of a request; larger ones are rejected")
    max_megapixels: float = Field(
        25.0, gt=0.0, le=178.0, description="largest photo of a request, rejected by its header; a server decodes one large photo at a time"
    )
    max_faces: int = Field(100, ge=1, le=10_000, description="faces in a photo of a request past which it is rejected")
    min_quality: float = Field(
        50.0,
        ge=0.0,
        le=100.0,
        description="quality of a face below which the answer is that it is too poor, where nobody is found; no accepted answer "
        "changes. 50: half of the comparisons of such a face with good photos of its person match",
    )
    max_waiting: int = Field(
        128, ge=1, le=10_000, description="photos that the recognizer takes in at once; those beyond are rejected as UNAVAILABLE"
    )
    max_seconds: Positive = Field(30.0, le=3600.0, description="a photo that waits longer is dropped")
    search_turned: bool = Field(
        True,
        description="photos of requests are searched in other directions as `detector.turned_below` says: where no face is sure, four "
        "searches instead of one",
    )

    canary_share: float = Field(0.1, gt=0.0, le=0.5, description="docker target: about this share of the traffic goes to a candidate first")
    canary_seconds: float = Field(10.0, ge=0.0, le=3600.0, description="docker target: and for so long")
    canary_max_errors: Fraction = Field(0.01, description="docker target: share that may fail there, beyond what fails at the live release")


class Monitoring(Section):
    """Drift of the live release's traffic."""

    min_photos: int = Field(100, ge=25, le=10**9, description="photos of an hour below which there is no verdict on drift")
    consecutive_windows: int = Field(
        3,
        ge=1,
        le=168,
        validation_alias=AliasChoices("consecutive_windows", "lasts"),
        serialization_alias="lasts",
        description="consecutive hours with the verdict drift after which people are notified",
    )
    retrain: bool = Field(False, description="request a run of the newest commit of production when drift persists")


class Params(Section):
    """The whole of params.yaml; every key may be left out."""

    photos: Photos = Photos()
    split: Split = Split()
    detector: Detector = Detector()
    audit: Audit = Audit()
    embedder: Embedder = Embedder()
    train: Train = Train()
    evaluation: Evaluation = Evaluation()
    gallery: Gallery = Gallery()
    export: Export = Export()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()

    def of(self, commit: str) -> "Params":
        """These parameters, whose detector's file is that of the commit."""
        return self.model_copy(update={"detector": self.detector.of(commit)}) if self.detector.family else self


RENAMED = {
    (name, info.serialization_alias): key
    for name, section in Params.model_fields.items()
    for key, info in type(section.default).model_fields.items()
    if info.serialization_alias
}
"""(section, former name) → name of the parameters that were renamed. A former name is read for one version, with a warning."""


def current_names(values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Recorded parameters, by section and key, under the names of today."""
    return {section: {RENAMED.get((section, key), key): value for key, value in keys.items()} for section, keys in values.items()}
