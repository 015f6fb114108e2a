"""Batches for training and inference, read row by row from the packed files."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import keras
import numpy as np

from hpa.config.sections import Augment
from hpa.data.batches.augmentation import draw_changes
from hpa.data.batches.oversampling import epoch_length, epoch_order
from hpa.data.packed.packed_images import PackedImages
from hpa.errors import UserError

N_WORKERS = 1  # reads 20,000 images of 256 pixels per second; more help if storage is slow
N_AHEAD = 4  # batches read ahead; at 32 images of 256 pixels, 8 MB each


class PackedBatches(keras.utils.PyDataset, ABC):
    """Batches of packed images, read ahead; errors reach the caller as they were raised.

    Keras' own workers are not used. When Keras reads a first batch to build a model, its workers
    read on, and it then takes the next batches for the first ones (Keras 3.15,
    `EpochIterator.reset` and `PyDatasetEnqueuer.stop`).
    """

    _error: UserError | None = None

    def __init__(self, *, workers: int = N_WORKERS) -> None:
        """Create the batches; `workers` is the number of threads that read ahead."""
        super().__init__(workers=1)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="batches")
        self._reading: dict[int, Future[tuple[Any, ...]]] = {}

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return a batch (see `read`) and start reading the next ones."""
        known = self._reading
        self._reading = {
            each: known.get(each) or self._threads.submit(self.read, each)
            for each in range(index, min(index + 1 + N_AHEAD, len(self)))
        }
        try:
            return self._reading[index].result()
        except UserError as error:
            self._error = error
            raise

    def feed(self) -> Any:
        """Return the input of `fit` and `predict`: on TensorFlow a dataset, else the batches.

        The dataset that Keras would create autotunes in a thread that sleeps for up to a minute
        and delays the end of `fit` until it wakes (TensorFlow 2.21, core/framework/model.cc,
        OptimizeLoop).
        """
        if keras.backend.backend() != "tensorflow":
            return self
        import tensorflow as tf

        specs = keras.tree.map_structure(lambda a: tf.TensorSpec(a.shape, a.dtype), self[0])
        options = tf.data.Options()
        options.autotune.enabled = False
        return (
            tf.data.Dataset.from_generator(lambda: iter(self), output_signature=specs)
            .apply(tf.data.experimental.assert_cardinality(len(self)))
            .prefetch(1)
            .with_options(options)
        )

    @contextmanager
    def clean_errors(self) -> Iterator[None]:
        """Raise the error of a failed read as it was raised.

        TensorFlow reads in its own thread and turns an error there into an error of its own that
        contains the message.
        """
        try:
            yield
        except Exception as error:
            if self._error is None:
                raise
            raise self._error from error

    @abstractmethod
    def read(self, index: int) -> tuple[Any, ...]:
        """Read a batch."""


class TrainingBatches(PackedBatches):
    """Steps `first` to `end` of an endless sequence of reshuffled epochs.

    The batch of step s is a function of (seed, s) alone: it depends neither on previous steps,
    nor on the number of workers, nor on where a training was interrupted.
    """

    def __init__(
        self,
        images: PackedImages,
        rows: np.ndarray,
        y_true: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        augment: Augment,
        repeat_factors: np.ndarray | None = None,
        first: int = 0,
        end: int,
        workers: int = N_WORKERS,
    ) -> None:
        """Create the batches.

        Args:
            images: the packed images.
            rows: int[n], the packed rows of the training images.
            y_true: uint8[n,C], their labels.
            batch_size: images per step. If it does not divide the epoch, a batch holds the last
                images of one epoch and the first of the next.
            seed: of the order, the repeats and the augmentation.
            augment: the kinds of augmentation to draw.
            repeat_factors: float64[n], mean repeats of each image per epoch (see
                `oversampling`); None for one.
            first, end: steps, counted from the start of the training.
            workers: threads that read ahead.
        """
        super().__init__(workers=workers)
        self._images, self._rows, self._y_true = images, rows, y_true
        self.batch_size, self._seed, self._augment = batch_size, seed, augment
        self._first, self._end = first, end
        factors = np.ones(len(rows)) if repeat_factors is None else repeat_factors
        self._epoch_length = epoch_length(factors)
        # Two epochs can share a batch, and several workers read several batches at a time.
        self._epoch_order = lru_cache(maxsize=4)(partial(epoch_order, factors, seed))

    def __len__(self) -> int:
        return self._end - self._first

    def read(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return {"images": uint8[B,S,S,K], **changes} and float32[B,C] of step `first + index`.

        The changes are parameters (see `draw_changes`); the device applies them.
        """
        step = self._first + index
        chosen = self.chosen(step)
        images = self._images.read(self._rows[chosen])
        changes = draw_changes(self._augment, self._seed, step, len(chosen), images.shape[3])
        return {"images": images, **changes}, self._y_true[chosen].astype(np.float32)

    def chosen(self, step: int) -> np.ndarray:
        """Return the positions of a step's images among the n training images, int[B]."""
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, within = np.divmod(places, self._epoch_length)
        return np.concatenate(
            [self._epoch_order(int(epoch))[within[epochs == epoch]] for epoch in np.unique(epochs)]
        )


N_VIEWS = 8
"""Elements of the square's symmetry group: four rotations, and each of them mirrored."""


def turned(images: np.ndarray, view: int) -> np.ndarray:
    """Rotate uint8[B,S,S,K] by `view % 4` right angles, then mirror if `view` is 4 or more.

    The same eight views as in `augmentation.Turn`.
    """
    images = np.rot90(images, view % 4, axes=(1, 2))
    return np.ascontiguousarray(images[:, :, ::-1] if view >= 4 else images)


class ScoringBatches(PackedBatches):
    """Batches of equal size of the given rows in order: the last row pads the last batch.

    Equal sizes need only one compiled program; the caller drops the padding.
    """

    def __init__(
        self, images: PackedImages, rows: np.ndarray, *, batch_size: int, view: int = 0
    ) -> None:
        """Create batches of packed rows int[n], each image as one of its `N_VIEWS` views."""
        super().__init__()
        self._images, self._rows, self._batch_size = images, rows, batch_size
        self._view = view

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def read(self, index: int) -> tuple[np.ndarray]:
        """Return uint8[B,S,S,K]."""
        places = np.arange(index * self._batch_size, (index + 1) * self._batch_size)
        images = self._images.read(self._rows[np.minimum(places, len(self._rows) - 1)])
        return (turned(images, self._view),)
