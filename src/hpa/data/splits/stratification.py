"""Stratified division of groups of images.

Starts with iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the stratification of
multi-label data", ECML 2011; package iterative-stratification) of one row per group, which ignores
group sizes. Moving single groups then brings image counts to their shares: on the real table the
mean label-rate error falls from 1.84 % to 1.56 % (benchmarks/split.py). Exchanging pairs of groups
matters for few unequal groups: without it the largest of five folds of 80 groups has up to 2.1
times the images of the smallest, with it 1.2.
"""

from itertools import combinations

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

from hpa.data.splits.coverage import complete, movable, spread

SLACK = 0.1
"""Relative deviation from its share of the images that a part may have to keep label rates."""
N_EXCHANGED = 500
"""Groups of each part considered for an exchange: the largest, or smallest."""


def divide(
    counts: np.ndarray,
    n_images: np.ndarray,
    fraction: float,
    need: tuple[int, int],
    favoured: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Select groups with a fraction of the images and the label rates of all images.

    Args:
        counts: int[G,C], images of each label in each group.
        n_images: int[G], images in each group.
        fraction: share of the images to select.
        need: the number of groups of each label to leave, and to select, if there are as many.
            Those that are left can be divided into as many parts (see `complete`).
        favoured: bool[C], labels with priority if not all needs can be met.
        seed: of the stratification.

    Returns:
        int[G]: 1 for selected groups, else 0. At least one is selected; of three groups or more,
        at least `need[0]` are left.

    Raises:
        ValueError: there are too few groups.

    >>> part = divide(np.ones((10, 2), int), np.ones(10, int), 0.2, (1, 1), np.ones(2, bool), 0)
    >>> int(part.sum())
    2
    """
    present = (counts > 0).astype(int)
    part = np.zeros(len(counts), dtype=int)
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
    part[next(splitter.split(present, _indicators(present)))[1]] = 1
    amounts = np.column_stack([counts, n_images])
    part = _polish(part, amounts, fraction)
    needed = np.outer(need, present.sum(axis=0) >= sum(need))
    part = spread(part, counts, needed)
    part = _approach(part, amounts, fraction, needed)
    part = _occupy(part, amounts, fraction, needed, (need[0], max(need[1], 1)))
    return complete(part, counts, np.array(need), favoured)


def divide_evenly(counts: np.ndarray, n_images: np.ndarray, n_parts: int, seed: int) -> np.ndarray:
    """Divide groups into parts of about equally many images.

    A label of at least `n_parts` groups is in every part if possible (see `complete`). Arguments
    and errors are those of `divide`; the result int[G] is the part of each group.

    >>> np.bincount(divide_evenly(np.ones((9, 2), int), np.ones(9, int), 3, seed=0)).tolist()
    [3, 3, 3]
    """
    present = (counts > 0).astype(int)
    part = np.zeros(len(counts), dtype=int)
    folds = MultilabelStratifiedKFold(n_parts, shuffle=True, random_state=seed)
    for number, (_, members) in enumerate(folds.split(present, _indicators(present))):
        part[members] = number
    frequent = present.sum(axis=0) >= n_parts
    part = spread(part, counts, np.outer(np.ones(n_parts, dtype=int), frequent))
    part = _level(part, np.column_stack([counts, n_images]), n_parts, frequent)
    return complete(part, counts, np.ones(n_parts, dtype=int), frequent)


def _indicators(present: np.ndarray) -> np.ndarray:
    """Return a label alone together with its absence: the package takes two columns or more."""
    return present if present.shape[1] > 1 else np.hstack([present, 1 - present])


def rate_errors(counts: np.ndarray, n_images: np.ndarray) -> np.ndarray:
    """Compare the label rates of each part with those of all parts together.

    Args:
        counts: int[P,C], images of each label in each part.
        n_images: int[P], images in each part.

    Returns:
        float[P,C], the relative error of the rate: 0.5 is 1.5 times as frequent as in all parts;
        NaN for labels without images and for empty parts.

    >>> rate_errors(np.array([[2], [3]]), np.array([10, 40])).round(2).tolist()
    [[1.0], [-0.25]]
    """
    expected = np.outer(n_images, counts.sum(axis=0) / n_images.sum())
    return np.divide(counts, expected, out=np.full(counts.shape, np.nan), where=expected > 0) - 1


def _polish(part: np.ndarray, amounts: np.ndarray, fraction: float) -> np.ndarray:
    """Move single groups as long as that lowers the error of the selected amounts.

    The error is the sum of squared relative errors over the columns of amounts int[G,A]. The move
    that lowers it most comes first.
    """
    part = part.copy()
    target, weight = _target(amounts, fraction)
    own_cost = amounts**2 @ weight
    while True:
        change = _change(part, amounts, target, weight, own_cost)
        best = int(np.argmin(change))
        if change[best] > -1e-9:
            return part
        part[best] = 1 - part[best]


def _approach(
    part: np.ndarray, amounts: np.ndarray, fraction: float, needed: np.ndarray
) -> np.ndarray:
    """Move groups until the number of selected images, the last column, is near its share.

    Of the moves towards the share, the one with the smallest rise of the label error per image
    comes first. `_polish` alone may select nothing, to avoid half of a rare label. If no part can
    spare a group, two groups with the same labels change places.

    Args:
        needed: int[2,C], groups of each label that must stay in each part.
    """
    part = part.copy()
    target, weight = _target(amounts, fraction)
    own_cost = amounts**2 @ weight
    while abs(excess := amounts[part == 1, -1].sum() - target[-1]) > SLACK * target[-1]:
        nearer = abs(excess) - abs(excess + np.where(part == 1, -1, 1) * amounts[:, -1])
        found = np.flatnonzero((nearer > 0) & movable(part, amounts[:, :-1] > 0, needed))
        change = _change(part, amounts, target, weight, own_cost)
        if len(found):
            moved = found[[np.argmin(change[found] / nearer[found])]]
        else:
            moved = _exchange(part, amounts, int(excess > 0), abs(excess), change, weight)
        if not len(moved):
            break
        part[moved] = 1 - part[moved]
    return part


def _exchange(
    part: np.ndarray,
    amounts: np.ndarray,
    giver: int,
    excess: float,
    change: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """Find a group of the giver and a smaller one with the same labels to exchange, or none."""
    gives = _outermost(np.flatnonzero(part == giver), -amounts[:, -1])
    takes = _outermost(np.flatnonzero(part != giver), amounts[:, -1])
    nearer = excess - abs(excess - np.subtract.outer(amounts[gives, -1], amounts[takes, -1]))
    present = amounts[:, :-1] > 0
    alike = (present[gives][:, None] == present[takes][None]).all(axis=-1)
    both = change[gives][:, None] + change[takes] - 2 * (amounts[gives] * weight) @ amounts[takes].T
    ratio = np.full(both.shape, np.inf)
    np.divide(both, nearer, out=ratio, where=alike & (nearer > 0))
    if not np.isfinite(ratio).any():
        return np.array([], dtype=int)
    row, column = np.unravel_index(np.argmin(ratio), ratio.shape)
    return np.array([gives[row], takes[column]])


def _outermost(groups: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the first groups by the order int[G]; ties keep their order."""
    return groups[np.argsort(order[groups], kind="stable")][:N_EXCHANGED]


def _occupy(
    part: np.ndarray,
    amounts: np.ndarray,
    fraction: float,
    needed: np.ndarray,
    least: tuple[int, int],
) -> np.ndarray:
    """Move whole groups until each part has at least `least` groups, if there are as many.

    Groups that their part can spare come first; of those, the group whose move leaves the number
    of images nearest to its share.
    """
    part = part.copy()
    target, _ = _target(amounts, fraction)
    for number in (0, 1):
        while (part == number).sum() < least[number] and (part != number).sum() > least[1 - number]:
            excess = amounts[part == 1, -1].sum() - target[-1]
            off = abs(excess + np.where(part == 1, -1, 1) * amounts[:, -1])
            kept = movable(part, amounts[:, :-1] > 0, needed)
            part[np.lexsort((off, ~kept, part == number))[0]] = number
    return part


def _level(part: np.ndarray, amounts: np.ndarray, n_parts: int, frequent: np.ndarray) -> np.ndarray:
    """Move groups between pairs of parts until all have about equally many images."""
    part, needed = part.copy(), np.outer(np.ones(2, dtype=int), frequent)
    for _ in range(n_parts):
        before = part.copy()
        for pair in combinations(range(n_parts), 2):
            members = np.flatnonzero(np.isin(part, pair))
            side = (part[members] == pair[1]).astype(int)
            side = _approach(side, amounts[members], 0.5, needed)
            part[members] = np.take(pair, _occupy(side, amounts[members], 0.5, needed, (1, 1)))
        if (part == before).all():
            break
    return part


def _target(amounts: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the amount of each column to select, and the weight of its squared error."""
    target = fraction * amounts.sum(axis=0)
    return target, np.divide(1, target**2, out=np.zeros(len(target)), where=target > 0)


def _change(
    part: np.ndarray,
    amounts: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    own_cost: np.ndarray,
) -> np.ndarray:
    """Return the rise of the weighted squared error if each single group moves, float[G]."""
    excess = amounts[part == 1].sum(axis=0) - target
    return own_cost + 2 * np.where(part == 1, -1, 1) * (amounts @ (weight * excess))
