"""The rule of the check `enough_people`, and its early test before any photo is read."""

import math
from collections import Counter

from face_assets.core.params import Split
from face_assets.dataset.manifest import Manifest

LEAST_TO_TRAIN = 2
CERTAIN = 1.3  # times as many as on average, since the split of a person is by chance


def are_enough(trainable: int, testable: int, split: Split) -> bool:
    """True for enough people to train on, and enough to test with: those of the test that have two photos or more."""
    return trainable >= LEAST_TO_TRAIN and testable >= split.min_test_people


def too_few_people(manifest: Manifest, split: Split) -> str | None:
    """A message where a run would be refused for too few people, else None."""
    counts = Counter(photo.identity for photo in manifest.photos)
    trainable, testable = len(manifest.identities("train")), sum(counts[identity] > 1 for identity in manifest.identities("test"))
    if are_enough(trainable, testable, split):
        return None
    found = f"{len(counts):,} people, of whom {testable:,} with two photos or more are put aside for the test and {trainable:,} train"
    asked = f"a run is refused below {split.min_test_people} and {LEAST_TO_TRAIN} (`split.min_test_people`)"
    share = f"some {math.ceil(CERTAIN * split.min_test_people / split.test)} people with two photos each" if split.test else "`split.test`"
    return f"{found}: {asked}. Have {share}, or ask for less in params.yaml."
