"""How good the model is: headline metrics, a table of classes, and Kaggle's submission file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.errors import UserError
from hpa.labels import LABELS, format_target
from hpa.scoring.counts import Counts, check_indicators, count_outcomes
from hpa.scoring.metrics import (
    best_constant_prediction,
    f1,
    macro_f1,
    micro_f1,
    precision,
    recall,
)
from hpa.scoring.scores import Scores
from hpa.scoring.thresholds import FEW_POSITIVES, Thresholds


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the reports are made of.

    Attributes:
        metrics: `<split>/<metric>` to number; `val/…` is the fit set of thresholds, optimistic.
        classes: one row a label, in the competition's order; see `class_table`.
        test: the scores that were judged.
        thresholds: the cuts they were judged with.
    """

    metrics: dict[str, float]
    classes: pd.DataFrame
    test: Scores
    thresholds: Thresholds


def evaluate_splits(val: Scores, test: Scores, thresholds: Thresholds) -> Evaluation:
    """Judge thresholds fitted on `val` by `test`, beside the best constant chosen on `val`.

    Raises:
        UserError: a split has no labels, the splits share images, or they come from two runs.
    """
    val_true, test_true = val.labelled("val"), test.labelled("test")
    _check_splits(val, test)
    val_counts = count_outcomes(val_true, thresholds.predict(val.y_prob))
    test_counts = count_outcomes(test_true, thresholds.predict(test.y_prob))
    constant = np.broadcast_to(best_constant_prediction(val_true), test_true.shape)
    constant_counts = count_outcomes(test_true, constant)
    half_counts = count_outcomes(test_true, (test.y_prob >= 0.5).astype(np.uint8))
    metrics = {
        "test/macro_f1": macro_f1(test_counts),
        "test/micro_f1": micro_f1(test_counts),
        "test/macro_precision": float(precision(test_counts).mean()),
        "test/macro_recall": float(recall(test_counts).mean()),
        "test/macro_f1_at_half": macro_f1(half_counts),
        "test/constant_macro_f1": macro_f1(constant_counts),
        "val/macro_f1": macro_f1(val_counts),
        "val/micro_f1": micro_f1(val_counts),
    }
    classes = class_table(val_counts, test_counts, constant_counts, thresholds)
    return Evaluation(metrics, classes, test, thresholds)


def class_table(
    val_counts: Counts, test_counts: Counts, constant_counts: Counts, thresholds: Thresholds
) -> pd.DataFrame:
    """Return one row a label: test numbers, then what the threshold was fitted on, then doubts.

    `note` is "" where both splits hold evidence enough; ratios are 0.0 where they are 0/0.
    """
    return pd.DataFrame(
        {
            "label": LABELS,
            "support": test_counts.support,
            "predicted": test_counts.predicted,
            "precision": precision(test_counts),
            "recall": recall(test_counts),
            "f1": f1(test_counts),
            "constant_f1": f1(constant_counts),
            "threshold": thresholds.values,
            "val_support": val_counts.support,
            "val_f1": f1(val_counts),
            "note": [
                _note(flags, int(support))
                for flags, support in zip(thresholds.flags, test_counts.support, strict=True)
            ],
        }
    )


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


def unlabelled_submission(path: Path, thresholds: Thresholds) -> pd.DataFrame:
    """Return the submission for the scores at `path`; no rows where there is no such file."""
    if not path.exists():
        return submission(np.empty(0, np.str_), np.empty((0, len(LABELS)), np.uint8))
    unlabelled = Scores.read(path)
    return submission(unlabelled.ids, thresholds.predict(unlabelled.y_prob))


def _check_splits(val: Scores, test: Scores) -> None:
    shared = np.intersect1d(val.ids, test.ids)
    if len(shared):
        raise UserError(
            "val and test share images, so the test score would be too good",
            expected="no image on both sides",
            received=f"{len(shared)} shared, such as {str(shared[0])!r}",
            remedy="split again, then score both splits",
        )
    if val.run_id and test.run_id and val.run_id != test.run_id:
        raise UserError(
            "val and test were scored by different models",
            expected=f"run {val.run_id} for both",
            received=f"run {test.run_id} for test",
            remedy="run the score stage again",
        )


def _note(val_flags: tuple[str, ...], test_support: int) -> str:
    notes = [f"val: {flag}" for flag in val_flags]
    if test_support == 0:
        notes.append("test: no positives")
    elif test_support < FEW_POSITIVES:
        notes.append(f"test: fewer than {FEW_POSITIVES} positives")
    return "; ".join(notes)
