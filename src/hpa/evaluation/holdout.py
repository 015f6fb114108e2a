"""Predictions for the holdout split, kept for promotion: no figure is taken from them before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import read_index
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.metrics.predictions import Scores
from hpa.thresholds.decisions import Thresholds, decide

HOLDOUT_FILE, IMAGES_FILE = "holdout_predictions.npz", "images.csv"


def holdout_predictions(
    path: Path, thresholds: Thresholds, facts: pd.DataFrame, test: EvaluatedSplit
) -> EvaluatedSplit:
    """Return the predictions for the scores at `path`; no rows without such a file.

    Args:
        path: scores of the holdout split.
        thresholds: of the model.
        facts: `group` by Id, of at least these images.
        test: predictions of the same evaluation, for run and origin.
    """
    if not path.is_file():
        empty = {name: getattr(test, name)[:0] for name in ("ids", "groups", "y_true")}
        return replace(test, **empty, y_prob=test.y_prob[:0], y_pred=test.y_pred[:0])
    scores = Scores.read(path)
    return replace(
        test,
        ids=scores.ids,
        groups=facts.loc[scores.ids, "group"].to_numpy(np.int64),
        y_true=scores.labelled("holdout"),
        y_prob=scores.y_prob,
        y_pred=decide(thresholds, scores.y_prob),
    )


def described_images(packed_dir: Path, split_dir: Path) -> pd.DataFrame:
    """Return `Id`, `split` and perceptual `hash` of every image.

    They tell a later promotion which of its images this model was trained on.
    """
    index = read_index(packed_dir)[["Id", "hash"]]
    images = read_assignment(split_dir)[["Id", "split"]].merge(index, on="Id")
    return images.assign(hash=first_hash(images["hash"]))


def first_hash(hashes: pd.Series) -> pd.Series:
    """Return the hash of each image as it is; those of its other views follow it in the index."""
    return hashes.str.partition(" ")[0]
