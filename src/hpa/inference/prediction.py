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
    network: keras.Model, images: PackedImages, rows: np.ndarray, score: Score
) -> np.ndarray:
    """Run a network over all views of packed rows int[n]; return merged logits float64[n,28]."""
    return merge_views(  # view by view, so that memory does not grow with their number
        lambda view: predict_logits(network, images, rows, batch_size=score.batch_size, view=view),
        score.augmentation,
        score.merge,
    )


def merge_views(
    logits_of: Callable[[int], np.ndarray], augmentation: str, merge: str
) -> np.ndarray:
    """Merge the logits of all views; return float64[n,28].

    Args:
        logits_of: maps the number of a view (see `batches.turned`) to logits, float[n,28].
        augmentation: a key of `VIEWS`.
        merge: a key of `MERGES`.
    """
    n_views = VIEWS[augmentation]
    merged = logits_of(0).astype(np.float64)
    for view in range(1, n_views):
        merged = MERGES[merge](merged, logits_of(view).astype(np.float64))
    return merged / n_views if merge == "mean_logit" else merged


def predict_logits(
    model: keras.Model, images: PackedImages, rows: np.ndarray, *, batch_size: int, view: int = 0
) -> np.ndarray:
    """Run a network over packed rows int[n] in inference mode; return logits float32[n,28]."""
    batches = ScoringBatches(images, rows, batch_size=min(batch_size, len(rows)), view=view)
    with batches.clean_errors():
        logits: np.ndarray = model.predict(batches.feed(), verbose=0)[: len(rows)]
    return logits


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits, float32 in [0,1], computed in float64."""
    return np.asarray(expit(logits.astype(np.float64)), dtype=np.float32)
