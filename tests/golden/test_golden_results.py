"""Golden results: a step whose results change under the same version fails here, before it does on a user's machine."""

import pytest

from face_assets.core import step_libraries, step_versions
from tests.golden import golden


@pytest.mark.parametrize("step", golden.STEPS)
def test_a_step_has_the_results_that_its_version_stands_for(step: str) -> None:
    assert golden.complaint(step, golden.results(step)) is None


@pytest.mark.parametrize("step", golden.STEPS)
def test_other_results_need_another_version(step: str) -> None:
    kept = golden.recorded()[step]["results"]
    assert golden.complaint(step, kept) is None
    assert f"step_versions new {step}" in (golden.complaint(step, _changed(kept, 2 * golden.TOLERANCE.get(step, 0))) or "")


def _changed(value: object, by: float) -> object:
    """The value with a little more in its first number, or another letter in its first text."""
    if isinstance(value, (dict, list)):
        if not value:
            return value
        first = next(iter(value)) if isinstance(value, dict) else 0
        changed = type(value)(value)
        changed[first] = _changed(value[first], by)  # type: ignore[index, call-overload]
        return changed
    return value + (by or 1) if isinstance(value, (int, float)) else f"{value}!"


REMADE = {
    "pillow": {"dataset_version", "inspection", "detection", "onnx_detection", "face_embedder", "degraded_faces"},
    "openvino": {
        *("detection", "onnx_detection", "features", "label_audit", "face_embedder", "onnx_embedder", "export", "precision"),
        *("degraded_faces", "embedder_evaluation", "gallery_audit", "face_gallery", "gallery_verdict"),
    },
    "torch": {"label_audit", "face_embedder", "export", "embedder_evaluation", "gallery_audit", "face_gallery", "gallery_verdict"},
    "numpy": {
        *("detection", "onnx_detection", "label_audit", "face_embedder", "degraded_faces", "embedder_evaluation"),
        *("gallery_audit", "face_gallery", "gallery_verdict"),
    },
    "scikit-learn": {"precision", "embedder_evaluation"},
    "scipy": {"label_audit", "degraded_faces", "embedder_evaluation", "gallery_audit", "face_gallery"},
}


@pytest.mark.parametrize("library", REMADE)
def test_another_version_of_a_library_remakes_the_steps_that_it_decides_and_no_others(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_libraries, "installed", lambda name: step_libraries.SAME_RESULTS[name][0])
    before = {step: step_versions.step_version(step) for step in step_versions._steps()}
    assert before == {step: facts["version"] for step, facts in step_versions._steps().items()}, "what was made before keeps its name"
    monkeypatch.setattr(step_libraries, "installed", lambda name: "99" if name == library else step_libraries.SAME_RESULTS[name][0])
    assert {step for step, version in before.items() if step_versions.step_version(step) != version} == REMADE[library]


def test_every_library_that_decides_a_result_is_pinned_and_has_a_version_of_reference() -> None:
    assert {library for libraries in step_libraries.LIBRARIES.values() for library in libraries} == set(step_libraries.SAME_RESULTS)
    assert step_libraries.LIBRARIES.keys() <= step_versions._steps().keys()
