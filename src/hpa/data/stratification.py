"""Dividing groups of images so that every label keeps its rate.

The engine is iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the stratification of
multi-label data", ECML 2011; package iterative-stratification), which is given one row a group.
"""

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

N_DRAWS = 4
"""Divisions that are drawn, of which the one with the truest label rates is kept."""


def divide(counts: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Take a share of the groups, with the label rates of all.

    Args:
        counts: int[G,C], images of each label in each group.
        fraction: share of the groups to take.
        seed: of the draws.

    Returns:
        int[G]: 1 for groups that are taken, else 0. Where at least three groups have a label, one
        is taken and two are not (see `spread`).

    Raises:
        ValueError: there are too few groups.
    """
    present = (counts > 0).astype(int)
    draws = MultilabelStratifiedShuffleSplit(N_DRAWS, test_size=fraction, random_state=seed)
    divisions = []
    for _, taken in draws.split(present, present):
        part = np.zeros(len(counts), dtype=int)
        part[taken] = 1
        divisions.append(part)
    best = min(divisions, key=lambda part: _deviation(counts, part))
    frequent = present.sum(axis=0) >= 3
    return spread(best, counts, np.outer([2, 1], frequent))


def divide_evenly(counts: np.ndarray, n_parts: int, seed: int) -> np.ndarray:
    """Divide the groups of counts int[G,C] into equal parts; returns int[G], each group's part.

    A label that at least `n_parts` groups have is in every part (see `spread`).

    Raises:
        ValueError: there are too few groups.
    """
    present = (counts > 0).astype(int)
    part = np.zeros(len(counts), dtype=int)
    folds = MultilabelStratifiedKFold(n_parts, shuffle=True, random_state=seed)
    for number, (_, members) in enumerate(folds.split(present, present)):
        part[members] = number
    frequent = present.sum(axis=0) >= n_parts
    return spread(part, counts, np.outer(np.ones(n_parts, dtype=int), frequent))


def spread(part: np.ndarray, counts: np.ndarray, need: np.ndarray) -> np.ndarray:
    """Move whole groups until each part has as many groups of each label as it needs.

    The rarest label comes first. Of the groups that have it, the one moves whose part has most
    groups of that label; among those the one of fewest labels, then of fewest images, then the
    first. No move takes from a part what the part needs itself, so a label may stay short where
    label sets leave no such group: seven labels of three groups each, arranged as the points and
    lines of the Fano plane, cannot all be on both of two sides.

    Args:
        part: int[G], from 0 to P-1.
        counts: int[G,C], images of each label in each group.
        need: int[P,C], groups.
    """
    part, present = part.copy(), (counts > 0).astype(int)
    held = np.array([present[part == number].sum(axis=0) for number in range(len(need))])
    cost = np.stack([present.sum(axis=1), counts.sum(axis=1)])
    for label in np.argsort(present.sum(axis=0), kind="stable"):
        for number in range(len(need)):
            while held[number, label] < need[number, label]:
                spare = (held - need)[part] >= present
                movable = (spare | (present == 0)).all(axis=1)
                found = np.flatnonzero(movable & (present[:, label] > 0) & (part != number))
                if not len(found):
                    break
                keys = (cost[1, found], cost[0, found], -held[part[found], label])
                chosen = found[np.lexsort(keys)[0]]
                held[part[chosen]] -= present[chosen]
                held[number] += present[chosen]
                part[chosen] = number
    return part


def rate_errors(counts: np.ndarray, n_images: np.ndarray) -> np.ndarray:
    """Compare each part's label rates with those of all parts together.

    Args:
        counts: int[P,C], images of each label in each part.
        n_images: int[P], images in each part.

    Returns:
        float[P,C]: how far the rate is above (+) or below (-) that of all, as a share of it: 0.5
        is half as frequent again; NaN for labels without images, and for empty parts.
    """
    expected = np.outer(n_images, counts.sum(axis=0) / n_images.sum())
    return np.divide(counts, expected, out=np.full(counts.shape, np.nan), where=expected > 0) - 1


def _deviation(counts: np.ndarray, part: np.ndarray) -> float:
    """Return the mean absolute error of the label rates of what is taken; worst if that is none."""
    if not part.any():
        return np.inf
    labels = np.stack([counts[part == number].sum(axis=0) for number in (0, 1)])
    n_groups = np.bincount(part, minlength=2)
    return float(np.nanmean(np.abs(rate_errors(labels, n_groups)[1])))
