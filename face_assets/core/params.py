"""params.yaml of a data repository: every parameter of the pipeline, typed, bounded and explained.

Its sections stand in the modules params_*.py, by subject.
"""

from typing import Any

from face_assets.core.params_embedder import ROBUST, SCRATCH, Block, Embedder, Export, Train, View
from face_assets.core.params_evaluation import Evaluation, Gallery, Search, Stress
from face_assets.core.params_faces import MTCNN, Audit, Detector, Photos, Split
from face_assets.core.params_section import Section
from face_assets.core.params_serving import Monitoring, Serving

__all__ = [
    "MTCNN",
    "RENAMED",
    "ROBUST",
    "SCRATCH",
    "Audit",
    "Block",
    "Detector",
    "Embedder",
    "Evaluation",
    "Export",
    "Gallery",
    "Monitoring",
    "Params",
    "Photos",
    "Search",
    "Section",
    "Serving",
    "Split",
    "Stress",
    "Train",
    "View",
    "current_names",
]


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
    search: Search = Search()
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
