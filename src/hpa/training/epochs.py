"""Epochs beside steps: how often a training sees each image."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa.config.params import Params
from hpa.config.sections import Train
from hpa.data.batches.oversampling import epoch_length, repeat_factors
from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.vocabulary import read_vocabulary

FEW = 3
"""Epochs below which a training is too short for a network that starts from random weights."""
ENOUGH = 10
"""Epochs that the warning counts in steps, as an example."""


@dataclass(frozen=True)
class Epochs:
    """Images per epoch, in which oversampled ones count repeatedly, and images per step."""

    n_images: int
    batch_size: int
    n_distinct: int

    def of(self, step: int) -> float:
        """Return the epochs done after a step."""
        return step * self.batch_size / self.n_images

    def steps(self, n_epochs: float) -> int:
        """Return the steps that so many epochs take."""
        return math.ceil(n_epochs * self.n_images / self.batch_size)

    def describe(self, n_steps: int) -> str:
        """Return `640 steps of 32 images, 5.3 epochs of 3,900 images`."""
        repeated = f" ({self.n_distinct:,} before oversampling)"
        return (
            f"{n_steps:,} steps of {self.batch_size} images, {self.of(n_steps):.1f} epochs of "
            f"{self.n_images:,} images{repeated if self.n_images != self.n_distinct else ''}"
        )

    def warning(self, n_steps: int, key: str, *, few: float = FEW) -> str | None:
        """Return a warning if so many steps are fewer than `few` epochs; `key` sets the steps."""
        if self.of(n_steps) >= few:
            return None
        return (
            f"warning: {key} {n_steps} is only {self.of(n_steps):.2g} epochs of these "
            f"{self.n_images:,} images; {ENOUGH} epochs are {key}={self.steps(ENOUGH)}"
        )


def epochs_of(train: Train, factors: np.ndarray) -> Epochs:
    """Return the epochs of a training; `factors` float64[n] are repeats (see `oversampling`)."""
    return Epochs(epoch_length(factors), train.batch_size, len(factors))


def planned_epochs(params: Params, packed_dir: Path, split_dir: Path) -> Epochs:
    """Return the epochs of a training that has not begun, from the tables of its data."""
    index, assignment = read_index(packed_dir), read_assignment(split_dir, params.train.fold)
    chosen = index[(assignment["split"] == "train").to_numpy()]
    labels = read_vocabulary(packed_dir).labels
    y_true = labels.indicators(chosen["Target"])
    return epochs_of(params.train, repeat_factors(params.train, y_true, labels))
