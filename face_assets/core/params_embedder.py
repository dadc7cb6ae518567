"""Parameters of the embedder: starting weights, training, export."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, model_validator

from face_assets.core.fingerprint import fingerprint
from face_assets.core.params_section import FilePath, Fraction, Pixel, Positive, Section, SignedSeed

SCRATCH = "scratch"
"""`embedder.weights` of a network that begins at random."""
View = Literal["camera", "turned", "covered"]
"""Kinds of degraded views of a crop (embedding/degradation.py)."""
Block = Literal["head", "block8", "repeat_3", "mixed_7a", "repeat_2", "mixed_6a", "repeat_1", "all"]
ROBUST: dict[str, Any] = {
    "unfreeze": "repeat_3",
    "epochs": 4,
    "batch_size": 256,
    "learning_rate": 0.0003,
    "embedding_regularization": 4.0,
    "degrade": {"camera": 3, "covered": 1},
}
"""What `train.recipe: robust` sets; chosen on validation people of LFW (docs/explanation/training.md)."""


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
