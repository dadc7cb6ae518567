"""The plan of a data set: an embedder is trained where its people suffice for that, and else all of them are test people."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from face_assets.core.params import SCRATCH, Params, Split
from face_assets.dataset.manifest import Manifest, Photo, assign_split

LEAST_TO_TRAIN = 2
LEAST_TO_TELL_APART = 2
CERTAIN = 1.3  # times as many as on average, since the split of a person is by chance


@dataclass(frozen=True)
class Plan:
    """The plan of a data set.

    trains: an embedder is trained; if not, the starting weights are served and everybody is a test person. people: in all; trainable: in
    the split train; testable: with two photos or more among the people of the split test. reason: a sentence with the figures.
    refusal: None, or why the data set makes no recognizer, and how many people it takes.
    """

    trains: bool
    people: int
    trainable: int
    testable: int
    reason: str
    refusal: str | None = None


def plan_of(photos: Iterable[Photo], params: Params) -> Plan:
    """The plan for these photos. It depends on their people alone, and not on the splits that they have."""
    return plan_for(Counter(photo.identity for photo in photos), params)


def plan_for(photos: Mapping[str, int], params: Params) -> Plan:
    """The plan for people, by their number of photos."""
    splits = {identity: assign_split(identity, params.split) for identity in photos}
    trainable = sum(split == "train" for split in splits.values())
    testable = sum(count > 1 and splits[identity] == "test" for identity, count in photos.items())
    found, few = (len(photos), trainable, testable), testable < params.split.min_test_people
    if len(photos) < LEAST_TO_TELL_APART:
        named = f"one person alone: {next(iter(photos))}" if photos else "nobody"
        alone = f"The photos are of {named}. It takes two to tell people apart: add photos of another person."
        return Plan(False, *found, "nobody to tell apart", alone)
    if params.embedder.is_onnx:
        reason = f"nothing is trained, for embedder.weights is a network in ONNX, which is served as it is: {_all_test(len(photos))}"
        return Plan(False, *found, reason)
    if not params.train.epochs:
        return Plan(False, *found, f"nothing is trained, for train.epochs is 0: {_all_test(len(photos))}")
    if params.embedder.weights == SCRATCH:
        refusal = _too_few_for_scratch(found, params.split) if few or trainable < LEAST_TO_TRAIN else None
        return Plan(True, *found, f"trained on {trainable:,} people from random weights", refusal)
    if trainable < params.train.min_people:
        reason = (
            f"nothing is trained: {trainable:,} people to train on are fewer than train.min_people {params.train.min_people:,} (some "
            f"{people_to_train(params):,} people in all) and improve no embedder: {_all_test(len(photos))}"
        )
        return Plan(False, *found, reason)
    if few:
        reason = (
            f"nothing is trained: {testable:,} of the test people have two photos or more, too few to judge a trained embedder by "
            f"(split.min_test_people {params.split.min_test_people:,}): {_all_test(len(photos))}"
        )
        return Plan(False, *found, reason)
    return Plan(True, *found, f"trained on {trainable:,} people (train.min_people {params.train.min_people:,})")


def people_to_train(params: Params) -> int:
    """Number of people of whom enough are in the split train, with near certainty."""
    return _certain(params.train.min_people / (1 - params.split.test - params.split.validation))


def planned(manifest: Manifest, plan: Plan) -> Manifest:
    """The manifest with everybody in the split test where nothing is trained."""
    return manifest if plan.trains else manifest.all_test()


def _all_test(people: int) -> str:
    return f"the starting weights are served, and all {people:,} people are test people"


def _too_few_for_scratch(found: tuple[int, int, int], split: Split) -> str:
    people, trainable, testable = found
    share = f"some {_certain(split.min_test_people / split.test):,} people with two photos each" if split.test else "`split.test` above 0"
    return (
        f"{people:,} people, of whom {testable:,} with two photos or more are put aside for the test and {trainable:,} train: "
        f"embedder.weights: {SCRATCH} learns from these photos alone, and takes {split.min_test_people} (split.min_test_people) and "
        f"{LEAST_TO_TRAIN}. Have {share}, or name starting weights in embedder.weights, with which two people suffice."
    )


def _certain(people: float) -> int:
    return math.ceil(CERTAIN * people)
