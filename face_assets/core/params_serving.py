"""Parameters of the server and of its traffic."""

from pydantic import AliasChoices, Field

from face_assets.core.params_section import Fraction, Positive, Section


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
