"""Logits of packed images, merged over augmented views, and the probabilities of logits."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from scipy.special import expit

from hpa.config.sections import Score
from hpa.data.batches.packed_batches import N_VIEWS, ScoringBatches
from hpa.data.packed.packed_images import PackedImages

VIEWS = {"none": 1, "dihedral": N_VIEWS}
MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "mean_logit": np.add,  # divided by the number of views in the end
    "max_probability": np.maximum,  # the sigmoid rises, so this is the largest logit
}


def predict_views(
    network: keras.Model,
    images: PackedImages,
    rows: np.ndarray,
    score: Score,
    *,
    on_batch: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Run a network over all views of packed rows int[n]; return merged logits float64[n,C].

    `on_batch` is called after each batch with the number of its images.
    """

    def logits_of(view: int) -> np.ndarray:
        return predict_logits(
            network, images, rows, batch_size=score.batch_size, view=view, on_batch=on_batch
        )

    # View by view, so that memory does not grow with their number.
    return merge_views(logits_of, score.augmentation, score.merge)


def merge_views(
    logits_of: Callable[[int], np.ndarray], augmentation: str, merge: str
) -> np.ndarray:
    """Merge the logits of all views; return float64[n,C].

    Args:
        logits_of: maps the number of a view (see `batches.turned`) to logits, float[n,C].
        augmentation: a key of `VIEWS`.
        merge: a key of `MERGES`.
    """
    n_views = VIEWS[augmentation]
    merged = logits_of(0).astype(np.float64)
    for view in range(1, n_views):
        merged = MERGES[merge](merged, logits_of(view).astype(np.float64))
    return merged / n_views if merge == "mean_logit" else merged


def predict_logits(
    model: keras.Model,
    images: PackedImages,
    rows: np.ndarray,
    *,
    batch_size: int,
    view: int = 0,
    on_batch: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Run a network over packed rows int[n] in inference mode; return logits float32[n,C]."""
    n_at_once = min(batch_size, len(rows))
    batches = ScoringBatches(images, rows, batch_size=n_at_once, view=view)
    tick = _AfterBatch(lambda batch: on_batch(min(n_at_once, len(rows) - batch * n_at_once)))
    with batches.clean_errors():
        logits: np.ndarray = model.predict(batches.feed(), verbose=0, callbacks=[tick])[: len(rows)]
    return logits


class _AfterBatch(keras.callbacks.Callback):
    """Call a function with the number of each batch, from 0."""

    def __init__(self, call: Callable[[int], object]) -> None:
        super().__init__()
        self._call = call

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self._call(batch)


_remembered: dict[Any, np.ndarray] = {}


def remember(
    logits: np.ndarray, weights_sha256: str, images: PackedImages, rows: np.ndarray, batch_size: int
) -> None:
    """Keep the logits of a network, those of the last call alone, for a later stage to take.

    A stage that follows in the same process need not run the network over these images again.
    """
    _remembered.clear()
    _remembered[_key(weights_sha256, images, rows, batch_size)] = logits


def remembered(
    weights_sha256: str, images: PackedImages, rows: np.ndarray, batch_size: int
) -> np.ndarray | None:
    """Return the logits of the same weights for the same pixels in batches of the same size.

    None if they are not known: a batch of another size may round otherwise.
    """
    return _remembered.get(_key(weights_sha256, images, rows, batch_size))


def _key(weights_sha256: str, images: PackedImages, rows: np.ndarray, batch_size: int) -> Any:
    return weights_sha256, images.checksums[rows].tobytes(), min(batch_size, len(rows))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits, float32 in [0,1], computed in float64."""
    return np.asarray(expit(logits.astype(np.float64)), dtype=np.float32)
