"""Running a trained network over packed images: probabilities of a split, written once."""

from pathlib import Path

import keras
import numpy as np
from scipy.special import expit

from hpa.data.assignment import UNLABELLED, read_assignment
from hpa.data.batches import ScoringBatches
from hpa.data.packed import PackedImages, read_index
from hpa.labels import indicator_matrix
from hpa.scoring.scores import Scores


def score_splits(
    model_path: Path,
    *,
    packed_dir: Path,
    split_dir: Path,
    scores_dir: Path,
    batch_size: int,
    run_id: str,
) -> None:
    """Write `val.npz`, `test.npz` and, where there are such images, `unlabelled.npz`.

    Args:
        model_path: a `.keras` archive; nothing in it is executed.
        packed_dir, split_dir: what the pack and split stages wrote.
        scores_dir: gets the files.
        batch_size: images a pass; changes memory and speed, not the result.
        run_id: kept with the scores.
    """
    model = keras.saving.load_model(model_path, compile=False, safe_mode=True)
    images, index = PackedImages(packed_dir), read_index(packed_dir)
    split = read_assignment(split_dir)["split"]
    for name in ("val", "test", UNLABELLED):
        rows = np.flatnonzero(split == name)
        if len(rows):
            chosen = index.iloc[rows]
            scores = Scores(
                ids=chosen["Id"].to_numpy(np.str_),
                y_true=None if name == UNLABELLED else indicator_matrix(chosen["Target"]),
                y_prob=sigmoid(predict_logits(model, images, rows, batch_size=batch_size)),
                run_id=run_id,
            )
            scores.write(scores_dir / f"{name}.npz")


def predict_logits(
    model: keras.Model, images: PackedImages, rows: np.ndarray, *, batch_size: int
) -> np.ndarray:
    """Run the network over packed rows int[n] in inference mode; returns float32[n,28]."""
    batches = ScoringBatches(images, rows, batch_size=min(batch_size, len(rows)))
    with batches.clean_errors():
        logits: np.ndarray = model.predict(batches, verbose=0)[: len(rows)]
    return logits


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities float32 in [0,1], computed in float64."""
    return np.asarray(expit(logits.astype(np.float64)), dtype=np.float32)
