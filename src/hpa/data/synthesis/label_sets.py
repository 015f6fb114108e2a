"""Label sets drawn with the real frequencies, or with frequencies tempered towards equal ones.

Labels are dealt from quotas, not drawn image by image. Each label gets its number of images, split
over set sizes as in the real data. The rarest label is served first and takes companions in
proportion to how often the pair occurs. So frequencies are met almost exactly, at any size.
"""

import math
from functools import cache
from pathlib import Path

import numpy as np

from hpa.seeds import stream
from hpa.vocabulary.hpa2018 import LABELS

NEVER_WITHOUT = {10: 9}
"""Lysosomes always occur together with Endosomes."""


@cache
def label_counts() -> np.ndarray:
    """Count the competition's 31,072 training images by label and size of the label set.

    Returns:
        int64[28,5]; column k - 1 counts sets of k labels.

    Source: the public train.csv, of which only these totals are kept.
    """
    return _read_counts("label_counts.csv")


@cache
def pair_counts() -> np.ndarray:
    """Count the competition's training images per pair of labels: int64[28,28], symmetric."""
    return _read_counts("pair_counts.csv")


def _read_counts(name: str) -> np.ndarray:
    path = Path(__file__).with_name(name)
    return np.loadtxt(path, dtype=np.int64, delimiter=",", skiprows=1)[:, 1:]


def draw_label_sets(n_images: int, *, tempering: float, seed: int) -> list[tuple[int, ...]]:
    """Draw n_images label sets in random order, each sorted.

    Every label occurs at least `minimum_count(n_images, tempering)` times. Co-occurrences follow
    the real pair counts: Lysosomes never without Endosomes, labels 10, 15 and 17 never alone.

    Args:
        n_images: number of sets.
        tempering: in [0,1]; label frequencies follow count ** (1 - tempering), so 0 gives the
            real ones and 1 equal ones.
        seed: same arguments, same sets.
    """
    if not 0.0 <= tempering <= 1.0:
        raise ValueError(f"tempering {tempering} is not in [0, 1]")
    rng = stream(seed, "label sets")
    floor = minimum_count(n_images, tempering)
    label_sets = _deal(_quotas(n_images, tempering, floor, rng), rng)
    label_sets = _trim(label_sets, n_images, floor, rng)
    while len(label_sets) < n_images:
        # Companions beyond their quota leave a few sets to be dealt again, from a larger deal.
        spare = _deal(_quotas(200, tempering, 0, rng), rng)
        n_missing = n_images - len(label_sets)
        label_sets += [spare[i] for i in rng.permutation(len(spare))[:n_missing]]
    return [label_sets[i] for i in rng.permutation(n_images)]


def minimum_count(n_images: int, tempering: float) -> int:
    """Return the least images per label: max(min(4, N // 28), 3 % × tempering × N)."""
    return max(min(4, n_images // len(LABELS)), math.floor(0.03 * tempering * n_images))


def _quotas(n_images: int, tempering: float, floor: int, rng: np.random.Generator) -> np.ndarray:
    """Return the images that each label needs by size of the label set, int64[28,5]."""
    counts = label_counts().astype(np.float64)
    size_fraction = counts / counts.sum(axis=1, keepdims=True)
    weight = counts.sum(axis=1) ** (1.0 - tempering)
    images_per_unit = (weight[:, None] * size_fraction / np.arange(1, counts.shape[1] + 1)).sum()
    wanted = np.maximum(weight * n_images / images_per_unit, floor)
    exact = wanted[:, None] * size_fraction
    quotas = np.floor(exact).astype(np.int64)
    # The fractions left over are dealt at random, so that small sets are right on average.
    shortfall = np.round(wanted - quotas.sum(axis=1)).astype(np.int64)
    for label in range(len(LABELS)):
        rest = exact[label] - quotas[label]
        if shortfall[label] > 0 and rest.sum() > 0:
            quotas[label] += rng.multinomial(shortfall[label], rest / rest.sum())
    return quotas


def _deal(quotas: np.ndarray, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Serve the labels from the rarest to the commonest until every quota is empty."""
    label_sets = []
    for anchor in np.argsort(quotas.sum(axis=1), kind="stable"):
        while n_left := quotas[anchor].sum():
            place = rng.integers(n_left)
            size_index = int(np.searchsorted(np.cumsum(quotas[anchor]), place, side="right"))
            chosen = _choose_companions(int(anchor), size_index, quotas, rng)
            for label in chosen:
                _take(quotas[label], size_index)
            label_sets.append(tuple(sorted(chosen)))
    return label_sets


def _take(quota: np.ndarray, size_index: int) -> None:
    """Subtract one image from a label's quota, preferably for this set size."""
    if quota[size_index] == 0:
        size_index = int(np.argmax(quota))
    quota[size_index] = max(quota[size_index] - 1, 0)


def _choose_companions(
    anchor: int, size_index: int, quotas: np.ndarray, rng: np.random.Generator
) -> list[int]:
    """Choose up to size_index companions that occur with all others chosen and are needed."""
    chosen = [anchor]
    if anchor in NEVER_WITHOUT:
        chosen.append(NEVER_WITHOUT[anchor])
    while len(chosen) <= size_index:
        fits = np.prod(pair_counts()[chosen].astype(np.float64), axis=0) ** (1 / len(chosen))
        fits[list(NEVER_WITHOUT)] = 0.0
        weight = fits * (quotas[:, size_index] > 0)
        if not weight.any():
            # A label that is never alone takes a companion beyond that one's quota.
            if len(chosen) > 1 or label_counts()[anchor, 0] > 0:
                break
            weight = fits
        chosen.append(int(rng.choice(len(LABELS), p=weight / weight.sum())))
    return chosen


def _trim(
    label_sets: list[tuple[int, ...]], n_images: int, floor: int, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Drop surplus sets, those of common labels first, keeping `floor` images of each label.

    A set that must stay has a label with exactly `floor` images, so at most 28 × floor sets must
    stay; `minimum_count` keeps that below n_images.
    """
    counts = np.bincount(
        [label for labels in label_sets for label in labels], minlength=len(LABELS)
    )
    n_surplus = len(label_sets) - n_images
    shuffled = [label_sets[i] for i in rng.permutation(len(label_sets))]
    rarest_count = {labels: int(counts[list(labels)].min()) for labels in shuffled}
    kept = []
    for labels in sorted(shuffled, key=rarest_count.__getitem__, reverse=True):
        if n_surplus > 0 and all(counts[label] > floor for label in labels):
            counts[list(labels)] -= 1
            n_surplus -= 1
        else:
            kept.append(labels)
    return kept
