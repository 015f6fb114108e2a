"""Kaggle's submission file: the predicted labels of the unlabelled test images."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from hpa.metrics.calibration import finite_logits
from hpa.metrics.counts import check_indicators
from hpa.metrics.predictions import Scores
from hpa.thresholds.decisions import Thresholds, decide
from hpa.vocabulary.labels import Labels


def submission(ids: np.ndarray, y_pred: np.ndarray, labels: Labels) -> pd.DataFrame:
    """Return Kaggle's `Id,Predicted`: label numbers separated by blanks, "" for the empty set.

    `ids` are N image names, `y_pred` is uint8[N,C].
    """
    check_indicators("y_pred", y_pred)
    shape = (len(ids), len(labels))
    if y_pred.shape != shape:
        raise ValueError(f"y_pred must have shape {shape}, got {y_pred.shape}")
    predicted = [labels.format(np.flatnonzero(row).tolist()) for row in y_pred]
    return pd.DataFrame({"Id": ids, "Predicted": predicted})


def unlabelled_submission(
    path: Path, thresholds: Thresholds, images: pd.Series | None = None
) -> pd.DataFrame:
    """Return the submission for the scores at `path`; no rows without such a file.

    Args:
        path: scores of the unlabelled images.
        thresholds: of the model.
        images: Id of the image by the Id of its row, or of each of its tiles, which are merged as
            in prediction. Others are left out, since Kaggle refuses Ids that it does not know.
            None: each row is an image.
    """
    labels = thresholds.labels
    if not path.exists():
        return submission(np.empty(0, np.str_), np.empty((0, len(labels)), np.uint8), labels)
    unlabelled = Scores.read(path)
    ids, y_prob = unlabelled.ids, unlabelled.y_prob
    if images is not None:
        submitted = pd.Index(ids).isin(images.index)
        ids, y_prob = merge_tiles(images[ids[submitted]].to_numpy(np.str_), y_prob[submitted])
    return submission(ids, decide(thresholds, y_prob), labels)


def merge_tiles(ids: np.ndarray, y_prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each Id once and, float32, the mean logit of its rows as a probability.

    >>> ids, y_prob = merge_tiles(np.array(["b", "a", "b"]), np.array([[0.9], [0.2], [0.5]]))
    >>> ids.tolist(), y_prob[:, 0].round(2).astype(str).tolist()  # logits 2.197, 0
    (['b', 'a'], ['0.75', '0.2'])
    """
    if len(np.unique(ids)) == len(ids):
        return ids, y_prob
    merged = pd.DataFrame(finite_logits(y_prob)).groupby(ids, sort=False).mean()
    return merged.index.to_numpy(np.str_), expit(merged.to_numpy()).astype(np.float32)
