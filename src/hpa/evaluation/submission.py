"""Kaggle's submission file: the predicted labels of the unlabelled test images."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

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
    path: Path, thresholds: Thresholds, ids: Collection[str] | None = None
) -> pd.DataFrame:
    """Return the submission for the scores at `path`; no rows without such a file.

    Kaggle refuses Ids that it does not know: of several sources, `ids` are the competition's.
    """
    labels = thresholds.labels
    if not path.exists():
        return submission(np.empty(0, np.str_), np.empty((0, len(labels)), np.uint8), labels)
    unlabelled = Scores.read(path)
    rows = submission(unlabelled.ids, decide(thresholds, unlabelled.y_prob), labels)
    return rows if ids is None else rows[rows["Id"].isin(ids)]
