"""A section of params.yaml, and the types of its values."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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


class Section(BaseModel):
    """A section of params.yaml: immutable, unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def fingerprint(self) -> str:
        """A digest of the section's values, under the former names of parameters that were renamed."""
        return fingerprint(self.model_dump(mode="json", by_alias=True))
