"""Dividing groups of images so that every label keeps its rate.

The engine is iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the stratification of
multi-label data", ECML 2011; package iterative-stratification), which is given one row a group.
"""

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

from hpa.data.coverage import complete, spread


def divide(
    counts: np.ndarray,
    n_images: np.ndarray,
    fraction: float,
    need: tuple[int, int],
    favoured: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Take a share of the groups, with the label rates of all.

    Args:
        counts: int[G,C], images of each label in each group.
        n_images: int[G], images in each group.
        fraction: share of the images to take.
        need: how many groups of each label must be left, and how many taken, where there are as
            many; those that are left so that they can be divided further (see `complete`).
        favoured: bool[C], labels that come first where not all can have what they need.
        seed: of the stratification.

    Returns:
        int[G]: 1 for groups that are taken, else 0.

    Raises:
        ValueError: there are too few groups.
    """
    present = (counts > 0).astype(int)
    part = np.zeros(len(counts), dtype=int)
    halves = MultilabelStratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
    part[next(halves.split(present, present))[1]] = 1
    part = _polish(part, np.column_stack([counts, n_images]), fraction)
    part = spread(part, counts, np.outer(need, present.sum(axis=0) >= sum(need)))
    return complete(part, counts, np.array(need), favoured)


def divide_evenly(counts: np.ndarray, n_parts: int, seed: int) -> np.ndarray:
    """Divide the groups of counts int[G,C] into equal parts; returns int[G], each group's part.

    A label that at least `n_parts` groups have is in every part, if that can be (see `complete`).

    Raises:
        ValueError: there are too few groups.
    """
    present = (counts > 0).astype(int)
    part = np.zeros(len(counts), dtype=int)
    folds = MultilabelStratifiedKFold(n_parts, shuffle=True, random_state=seed)
    for number, (_, members) in enumerate(folds.split(present, present)):
        part[members] = number
    frequent = present.sum(axis=0) >= n_parts
    part = spread(part, counts, np.outer(np.ones(n_parts, dtype=int), frequent))
    return complete(part, counts, np.ones(n_parts, dtype=int), frequent)


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


def _polish(part: np.ndarray, amounts: np.ndarray, fraction: float) -> np.ndarray:
    """Move one group after the other while that brings what is taken nearer to its share.

    The engine balances groups, one row each; what counts are images. Near is the sum of squared
    relative errors over the columns of amounts int[G,A]; a move that lowers it most comes first.
    """
    part = part.copy()
    target = fraction * amounts.sum(axis=0)
    weight = np.divide(1, target**2, out=np.zeros(len(target)), where=target > 0)
    own_cost = amounts**2 @ weight
    while 1 < part.sum() < len(part) - 1:
        excess = amounts[part == 1].sum(axis=0) - target
        change = own_cost + 2 * np.where(part == 1, -1, 1) * (amounts @ (weight * excess))
        best = int(np.argmin(change))
        if change[best] > -1e-9:
            break
        part[best] = 1 - part[best]
    return part
