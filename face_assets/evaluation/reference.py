"""The reference of a release: feature histograms of its test photos, and limits of the distance that chance explains."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.errors import UserError
from face_assets.core.files import write_bytes
from face_assets.evaluation.feature_histograms import BINS, BROKEN, FEATURES, FORMAT, SIMILARITY, WITHOUT_QUALITY, with_quality
from face_assets.evaluation.histogram_distance import Distances, distances

Bins = npt.NDArray[np.int64]

FILE = "reference.npz"
SIZES = (10, 25, 50, 100, 200, 400, 800, 1600, 3200)
ROUNDS = 1000
FALSE_ALARMS = 0.005  # share of windows; half of the documented rate, for limits are estimates
MOST_OF_A_PERSON = 4  # photos of a person in a window
BELL_95, FARTHEST = 1.645, 4.0
FEWEST_PEOPLE, FEWEST_PHOTOS = 8, 40
THEN = (1980, 1, 1, 0, 0, 0)
# similarity depends on the share of strangers: it is shown, and is not part of the verdict
JUDGED = np.array([number != SIMILARITY for number in range(len(FEATURES))])


@dataclass(frozen=True)
class Reference:
    """The reference of a release.

    counts: (features, BINS) of the test photos; psi_limits, wasserstein_limits: (sizes, features), beyond which a window of at least so
    many photos drifted. The similarity is that with the nearest other person, as for a stranger.
    """

    counts: Bins
    people: int
    psi_limits: npt.NDArray[np.float64]
    wasserstein_limits: npt.NDArray[np.float64]

    @property
    def photos(self) -> int:
        """Number of photos of the reference."""
        return int(self.counts[0].sum())

    def limits(self, photos: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Limits of PSI and Wasserstein, (features,) each, for a window of so many photos; None if they are too few."""
        size = int(np.searchsorted(SIZES, photos, side="right")) - 1
        return None if size < 0 else (self.psi_limits[size], self.wasserstein_limits[size])

    def save(self, path: Path) -> None:
        """Writes the reference, the same bytes for the same values."""
        arrays = {
            "format": np.array(FORMAT),
            "counts": self.counts.astype(np.int64),
            "people": np.array(self.people),
            "psi_limits": self.psi_limits,
            "wasserstein_limits": self.wasserstein_limits,
        }
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                member = io.BytesIO()
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", THEN), member.getvalue(), zipfile.ZIP_DEFLATED)
        write_bytes(path, output.getvalue())


def load_reference(path: Path) -> Reference | None:
    """The reference in a file; None if there is no file. Raises UserError if it has another format than today's histograms."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = str(stored["format"])
            limits = (with_quality(found, stored[name], axis=1) for name in ("psi_limits", "wasserstein_limits"))
            reference = Reference(with_quality(found, stored["counts"]), int(stored["people"]), *limits)
    except BROKEN as error:
        raise UserError(f"{path} is no reference: {error}. Make a new release.") from error
    shapes = {reference.psi_limits.shape, reference.wasserstein_limits.shape}
    if found not in (FORMAT, WITHOUT_QUALITY) or reference.counts.shape != (len(FEATURES), BINS) or shapes != {(len(SIZES), len(FEATURES))}:
        raise UserError(f"{path} is of format {found!r}, and histograms are of {FORMAT!r}: make a new release.")
    return reference


def make_reference(bins: Bins, people: npt.NDArray[Any], seed: int = 0) -> Reference | None:
    """Makes the reference of test photos; None if photos or people are too few.

    bins: int64 (photos, features), of feature_histograms.bins_of; people: the person of each, (photos,). The limits come from a
    bootstrap over people: in each round the people are halved, and windows drawn from one half are compared with the other. Over all
    features together, one window in 1 / FALSE_ALARMS exceeds a limit.
    """
    _, people = np.unique(people, return_inverse=True)
    count = int(people.max()) + 1 if len(people) else 0
    if count < FEWEST_PEOPLE or len(bins) < FEWEST_PHOTOS:
        return None
    random = np.random.default_rng(seed)
    slots = np.where(bins < 0, len(FEATURES) * BINS, bins + np.arange(len(FEATURES)) * BINS)  # the last one for missing values
    halves = np.empty((ROUNDS, len(FEATURES), BINS), np.int32)
    windows = np.empty((len(SIZES), ROUNDS, len(FEATURES), BINS), np.int32)
    for number in range(ROUNDS):
        order = random.permutation(count)
        chosen = np.zeros(count, bool)
        chosen[order[: count // 2]] = True
        halves[number] = _count(slots[chosen[people]])
        photos = _drawn(np.flatnonzero(~chosen[people]), people, SIZES[-1], random)
        for size, some in enumerate(SIZES):
            windows[size, number] = _count(slots[photos[:some]])
    found = [distances(halves, one) for one in windows]
    limits = [_limits(one) for one in found]
    psi, wasserstein = (np.stack(column) for column in zip(*limits, strict=True))
    return Reference(_count(slots), count, psi, wasserstein)


def _count(slots: Bins) -> Bins:
    counted = np.bincount(slots.ravel(), minlength=len(FEATURES) * BINS + 1)
    return counted[:-1].reshape(len(FEATURES), BINS)


def _drawn(rows: Bins, people: Bins, most: int, random: np.random.Generator) -> Bins:
    """`most` photos of `rows`, drawn by people with several photos of each together, as people appear more than once."""
    shuffled = random.permutation(rows)
    shuffled = shuffled[np.argsort(people[shuffled], kind="stable")]
    _, starts, lengths = np.unique(people[shuffled], return_index=True, return_counts=True)
    lengths = np.minimum(lengths, MOST_OF_A_PERSON)
    persons = random.integers(len(starts), size=most)  # each has at least one photo
    before = np.cumsum(lengths[persons]) - lengths[persons]
    places = np.repeat(starts[persons] - before, lengths[persons])
    return np.asarray(shuffled[places + np.arange(len(places))][:most])


def _limits(found: Distances) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Limits (features,) of PSI and Wasserstein that all features together exceed in FALSE_ALARMS of the rounds."""
    values = np.concatenate([found.psi, found.wasserstein], axis=1)
    usual, far = np.quantile(values, 0.5, axis=0), np.quantile(values, 0.95, axis=0)
    # in standard deviations of a normal distribution; bounded, so that one feature with outliers does not widen all limits
    spread = np.maximum(np.maximum((far - usual) / BELL_95, (values.max(axis=0) - usual) / FARTHEST), 1e-9)
    farthest = ((values - usual) / spread)[:, np.tile(JUDGED, 2)].max(axis=1)
    limit = usual + np.quantile(farthest, 1 - FALSE_ALARMS) * spread
    return limit[: len(FEATURES)], limit[len(FEATURES) :]
