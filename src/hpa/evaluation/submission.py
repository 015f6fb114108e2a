"""Kaggle's submission file: the labels of images whose truth nobody here knows."""

from pathlib import Path

import numpy as np
import pandas as pd

from hpa.errors import UserError
from hpa.labels import LABELS, format_target
from hpa.metrics.counts import check_indicators
from hpa.metrics.predictions import Scores
from hpa.thresholds.decisions import decide
from hpa.thresholds.fitting import Thresholds


def submission(ids: np.ndarray, y_pred: np.ndarray) -> pd.DataFrame:
    """Return Kaggle's `Id,Predicted`: label numbers separated by blanks, "" for the empty set.

    Args:
        ids: image names [N].
        y_pred: uint8[N,28].
    """
    check_indicators("y_pred", y_pred)
    if y_pred.shape != (len(ids), len(LABELS)):
        raise UserError(
            "ids and y_pred do not fit together",
            expected=f"y_pred of shape ({len(ids)}, {len(LABELS)})",
            received=f"shape {y_pred.shape}",
            remedy="take both from the same scores",
        )
    predicted = [format_target(np.flatnonzero(row).tolist()) for row in y_pred]
    return pd.DataFrame({"Id": ids, "Predicted": predicted})


def unlabelled_submission(path: Path, thresholds: Thresholds, *, fill_empty: bool) -> pd.DataFrame:
    """Return the submission for the scores at `path`; no rows where there is no such file."""
    if not path.exists():
        return submission(np.empty(0, np.str_), np.empty((0, len(LABELS)), np.uint8))
    unlabelled = Scores.read(path)
    y_pred = decide(thresholds, unlabelled.y_prob, fill_empty=fill_empty)
    return submission(unlabelled.ids, y_pred)
