"""Percentiles of each channel over all images, for `fetch.depth: set_percentile`.

Values of up to 16 bits are counted one by one, so their percentiles are exact. Others are counted
in 2^20 bins by the upper bits of their float32, which is exact to 0.05 %. Counts of images are
added, so the result depends on neither their order nor the number of processes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
import numpy as np

from hpa.data.images.depth import (
    Limits,
    count_values,
    is_counted,
    limits_of,
    type_in_words,
)
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import ReadingRules, read_stored
from hpa.data.sources.reading_rules import unreadable
from hpa.errors import UserError
from hpa.system.progress import progress

N_VALUES, ZERO = 3 * 2**15, 2**15
"""Values of signed and unsigned 16 bits, and the place of zero among them."""
COUNTED = ("16-bit", "signed 16-bit", "signed 8-bit")
"""Types, in words, of which each value is counted."""
DROPPED_BITS = np.uint32(12)
HALF_BIN = np.uint32(2**11)
N_BINS = 2**20
SIGN = np.uint32(2**31)

Counts = dict[str, tuple[str, np.ndarray, np.ndarray]]
"""Type in words, occupied bins and their counts, by channel."""


def set_percentiles(
    files: Mapping[str, Mapping[str, Path]],
    rules: ReadingRules,
    percentiles: Sequence[float],
    n_jobs: int,
) -> dict[str, Limits]:
    """Return the percentiles of each channel; channels of 8 bits alone have none.

    Args:
        files: paths by channel of each image.
        rules: of reading.
        percentiles: two, from 0 to 100.
        n_jobs: number of processes.

    Raises:
        UserError: an image cannot be read, or a channel is stored in several types.
    """
    tasks = (
        joblib.delayed(_count)(image_id, sources, rules) for image_id, sources in files.items()
    )
    counted = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
    totals: dict[str, dict[str, np.ndarray]] = {}
    for counts in progress(counted, what="measure brightness", total=len(files)):
        for name, (kind, places, numbers) in counts.items():
            n_bins = N_VALUES if kind in COUNTED else N_BINS
            total = totals.setdefault(name, {}).setdefault(kind, np.zeros(n_bins, np.int64))
            total[places] += numbers
    _require_one_type(totals)
    limits = {}
    for name, by_kind in totals.items():
        ((kind, total),) = by_kind.items()
        places = np.flatnonzero(total)
        limits[name] = limits_of(_values(kind, places), total[places], percentiles)
    return {name: limits[name] for name in rules.channels.names if name in limits}


def _count(image_id: str, sources: Mapping[str, Path], rules: ReadingRules) -> Counts:
    try:
        planes = read_stored(sources, rules).planes
    except InvalidImageError as error:
        raise unreadable(error, image_id, list(sources)) from error
    return {
        name: (type_in_words(str(plane.dtype)), *_counted(plane))
        for name, plane in planes.items()
        if plane.dtype != np.uint8
    }


def _counted(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places and counts of values, or of bins that rise with the values."""
    if is_counted(plane.dtype):
        values, counts = count_values(plane)
        return values + ZERO, counts
    bits = plane.astype(np.float32).view(np.uint32)
    rising = np.where(bits & SIGN, ~bits, bits | SIGN)
    return np.unique(rising >> DROPPED_BITS, return_counts=True)


def _values(kind: str, places: np.ndarray) -> np.ndarray:
    """Return the values at places, or those in the middle of bins."""
    if kind in COUNTED:
        return places - ZERO
    rising = (places.astype(np.uint32) << DROPPED_BITS) | HALF_BIN
    bits = np.where(rising & SIGN, rising ^ SIGN, ~rising)
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def _require_one_type(totals: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    mixed = {name: kinds for name, kinds in totals.items() if len(kinds) > 1}
    if mixed:
        name, kinds = next(iter(mixed.items()))
        raise UserError(
            f"images hold the {name} channel in several types of values",
            expected="one type for fetch.depth: set_percentile, beside 8-bit",
            received=", ".join(sorted(kinds)),
            remedy="export them alike, or set fetch.depth to camera or percentile",
        )
