"""Batches for training, read row by row from packed files; the data is never held in memory."""

from functools import lru_cache
from typing import Any

import keras
import numpy as np

from hpa.data.augmentation import dihedral
from hpa.data.packing import PackedImages
from hpa.seeds import stream


class TrainingBatches(keras.utils.PyDataset):
    """Steps `first` to `end` of an endless, reshuffled walk through the training images.

    What step s holds is a function of (seed, s) alone: it depends neither on the steps before,
    nor on the number of workers, nor on where the walk is cut.
    """

    def __init__(
        self,
        images: PackedImages,
        rows: np.ndarray,
        y_true: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        turn: bool = False,
        first: int = 0,
        end: int,
        **workers: Any,
    ) -> None:
        """Describe the walk.

        Args:
            images: the packed images.
            rows: int[n], the packed rows of the training images.
            y_true: uint8[n,28], their labels.
            batch_size: images a step; an epoch's last images and the next one's first share a
                batch where it does not divide n.
            seed: of the order and of the turns.
            turn: turn and mirror each image at random (see `augmentation.dihedral`).
            first, end: steps, counted from the start of the training.
            **workers: of `keras.utils.PyDataset`, such as `workers=2`.
        """
        super().__init__(**workers)
        self._images, self._rows, self._y_true = images, rows, y_true
        self._batch_size, self._seed, self._turn = batch_size, seed, turn
        self._first, self._end = first, end

    def __len__(self) -> int:
        return self._end - self._first

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return uint8[B,S,S,4] and float32[B,28] of the step `first + index`."""
        step = self._first + index
        chosen = self.chosen(step)
        pixels = self._images.read(self._rows[chosen])
        if self._turn:
            dihedral(pixels, stream(self._seed, "turn", step).integers(8, size=len(pixels)))
        return pixels, self._y_true[chosen].astype(np.float32)

    def chosen(self, step: int) -> np.ndarray:
        """Return which of the n training images a step holds, int[B]."""
        places = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        epochs, within = np.divmod(places, len(self._rows))
        return np.concatenate(
            [
                _epoch_order(self._seed, int(epoch), len(self._rows))[within[epochs == epoch]]
                for epoch in np.unique(epochs)
            ]
        )


class ScoringBatches(keras.utils.PyDataset):
    """The given rows in order, in batches of one size: the last row fills up the last batch.

    One size means one compiled program; the caller drops what comes after the last row.
    """

    def __init__(self, images: PackedImages, rows: np.ndarray, *, batch_size: int) -> None:
        """Describe the walk over packed rows int[n]."""
        super().__init__()
        self._images, self._rows, self._batch_size = images, rows, batch_size

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        """Return uint8[B,S,S,4]."""
        places = np.arange(index * self._batch_size, (index + 1) * self._batch_size)
        return (self._images.read(self._rows[np.minimum(places, len(self._rows) - 1)]),)


@lru_cache(maxsize=2)  # two epochs meet in a batch
def _epoch_order(seed: int, epoch: int, n_images: int) -> np.ndarray:
    return stream(seed, "order", epoch).permutation(n_images)
