"""Oversampling of rare labels: repeats per image and epoch, and their order.

Gupta, Dollár, Girshick, "LVIS: a dataset for large vocabulary instance segmentation", CVPR 2019,
section "repeat factor sampling": a label of the share f of the images gets the factor
max(1, sqrt(t / f)), an image the largest factor of its labels.
"""

from collections.abc import Callable

import numpy as np

from hpa.config.sections import Train
from hpa.seeds import stream
from hpa.vocabulary.labels import Labels


def repeat_factors(train: Train, y_true: np.ndarray, labels: Labels) -> np.ndarray:
    """Return the mean number of repeats of each image per epoch, float64[n], at least 1.

    Args:
        train: its `oversampling` names the rule.
        y_true: uint8[n,C], the labels of the training images.
        labels: those that `train.repeats` may name.

    Raises:
        ValueError: it names others.
    """
    rules: dict[str, Callable[[], np.ndarray]] = {
        "none": lambda: np.ones(len(labels)),
        "square_root": lambda: square_root_factors(y_true, train.oversampling_threshold),
        "stated": lambda: labels.values(train.repeats or "", 1.0),
    }
    return np.max(np.where(y_true > 0, rules[train.oversampling](), 1.0), axis=1, initial=1.0)


def square_root_factors(y_true: np.ndarray, threshold: float) -> np.ndarray:
    """Return the LVIS factor of each label, float64[C]; 1 for a label without images."""
    share = y_true.mean(axis=0)
    return np.maximum(1.0, np.sqrt(threshold / np.where(share > 0, share, 1.0)))


def epoch_length(factors: np.ndarray) -> int:
    """Return the number of images per epoch, the same for every epoch."""
    whole, rest = np.divmod(factors, 1)
    return int(whole.sum() + np.ceil(rest.sum()))


def epoch_order(factors: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return the order of an epoch's images, int64[epoch_length], a function of (seed, epoch).

    An image occurs as often as the integer part of its factor, and once more with a probability
    proportional to the fraction. Systematic sampling in a shuffled order makes all epochs equally
    long. Factors of 1 give a permutation.
    """
    whole, rest = np.divmod(factors, 1)
    counts = whole.astype(np.int64)
    if n_extra := int(np.ceil(rest.sum())):
        random = stream(seed, "repeats", epoch)
        shuffled = random.permutation(len(factors))
        ends = np.cumsum(rest[shuffled])
        ends *= n_extra / ends[-1]
        ends[-1] = n_extra
        taken = np.floor(ends + random.random()).astype(np.int64)
        counts[shuffled] += np.diff(taken, prepend=0)
    images = np.repeat(np.arange(len(factors)), counts)
    return images[stream(seed, "order", epoch).permutation(len(images))]
