"""Names of embedders, and the release towards whose embeddings a training pulls: the same inputs give the same embedder."""

from face_assets.embedding.pull import deciding_release
from face_assets.registry.releases import Digests, Lineage, Release


def release(version: str, **training: str | None) -> Release:
    return Release(version, version, "commit", version, Digests(version, "gallery", "packaging"), {}, lineage=Lineage(training=training))


def test_the_same_inputs_are_pulled_where_they_were_pulled_first() -> None:
    pulled = release("v1.1.0", inputs="a", towards="v1.0.0", compatible_with="production")
    releases = [release("v1.0.0"), pulled, release("v1.2.0", inputs="b", towards="v1.1.0", compatible_with="production")]
    assert deciding_release(releases, "a") == pulled
    assert deciding_release(releases, "c") is None


def test_a_training_that_was_free_by_choice_does_not_free_one_that_is_to_compare() -> None:
    """A commit chose `compatible_with: none` and was refused; the next takes that back and changes nothing else."""
    first = release("v1.0.0", inputs="a", towards=None, compatible_with="production")
    free = release("v2.0.0", inputs="b", towards=None, compatible_with="none")
    assert deciding_release([first, free], "b") is None
    assert deciding_release([first, free], "a") == first
    taken_back = release("v1.1.0", inputs="b", towards="v1.0.0", compatible_with="production")
    assert deciding_release([first, taken_back, free], "b") == taken_back
