"""Dividing groups of images so that every label keeps its rate.

The engine is iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the stratification of
multi-label data", ECML 2011; package iterative-stratification), which is given one row a group.
"""

from itertools import combinations

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

from hpa.data.splits.coverage import complete, movable, spread

SLACK = 0.1
"""A part may hold so much more or less than its share of the images for the labels' sake."""
N_EXCHANGED = 500
"""Groups of each part that are looked at for an exchange: those that weigh most, or least."""


def divide(
    counts: np.ndarray,
    n_images: np.ndarray,
    fraction: float,
    need: tuple[int, int],
    favoured: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Take groups with a share of the images, and with the label rates of all.

    Args:
        counts: int[G,C], images of each label in each group.
        n_images: int[G], images in each group.
        fraction: share of the images to take.
        need: how many groups of each label must be left, and how many taken, where there are as
            many; those that are left so that they can be divided further (see `complete`).
        favoured: bool[C], labels that come first where not all can have what they need.
        seed: of the stratification.

    Returns:
        int[G]: 1 for groups that are taken, else 0; at least one, and with three groups or more
        as many are left as there are to be parts.

    Raises:
        ValueError: there are too few groups.
    """
    present = (counts > 0).astype(int)
    part = np.zeros(len(counts), dtype=int)
    halves = MultilabelStratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
    part[next(halves.split(present, present))[1]] = 1
    amounts = np.column_stack([counts, n_images])
    part = _polish(part, amounts, fraction)
    needed = np.outer(need, present.sum(axis=0) >= sum(need))
    part = spread(part, counts, needed)
    part = _approach(part, amounts, fraction, needed)
    part = _occupy(part, amounts, fraction, needed, (need[0], max(need[1], 1)))
    return complete(part, counts, np.array(need), favoured)


def divide_evenly(counts: np.ndarray, n_images: np.ndarray, n_parts: int, seed: int) -> np.ndarray:
    """Divide groups into parts of equally many images; returns int[G], each group's part.

    A label that at least `n_parts` groups have is in every part, if that can be (see `complete`).

    Args:
        counts: int[G,C], images of each label in each group.
        n_images: int[G], images in each group.
        n_parts: how many parts.
        seed: of the stratification.

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
    part = _level(part, np.column_stack([counts, n_images]), n_parts, frequent)
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
    """Move groups while the images that are taken, the last column, are not near their share.

    Of the moves that bring them nearer, the one comes first that harms the labels least for each
    image that it helps. `_polish` alone would rather take nothing than a half of a rare label.
    Where no part can spare a group, two of the same labels change places.

    Args:
        needed: int[2,C], groups of each label that no move takes away from a part.
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
    """Find a group of the giver and a smaller one of the same labels to change places; or none."""
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
    """Return the first of some groups by the order int[G]; equal ones stay as they are."""
    return groups[np.argsort(order[groups], kind="stable")][:N_EXCHANGED]


def _occupy(
    part: np.ndarray,
    amounts: np.ndarray,
    fraction: float,
    needed: np.ndarray,
    least: tuple[int, int],
) -> np.ndarray:
    """Move whole groups until each part has as many as `least` says, if there are as many.

    The group comes first whose move leaves the images nearest to their share; where the labels
    allow it, one that takes from no part what the part needs.
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
    """Move groups between two parts after another until all have about equally many images."""
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
    """Return what is to be taken of each column, and the weight of its squared errors."""
    target = fraction * amounts.sum(axis=0)
    return target, np.divide(1, target**2, out=np.zeros(len(target)), where=target > 0)


def _change(
    part: np.ndarray,
    amounts: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    own_cost: np.ndarray,
) -> np.ndarray:
    """Return float[G], by how much the weighed squared errors rise where one group moves."""
    excess = amounts[part == 1].sum(axis=0) - target
    return own_cost + 2 * np.where(part == 1, -1, 1) * (amounts @ (weight * excess))
