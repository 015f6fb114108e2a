"""Error analysis: confused labels, slices of images, and rows without a label."""

import numpy as np
import pandas as pd

from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.metrics.bootstrap import bootstrap_f1, interval
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import f1_by_row, macro_f1, micro_f1
from hpa.thresholds.decisions import fill_empty_rows
from hpa.vocabulary.labels import Labels


def confusions(y_true: np.ndarray, y_pred: np.ndarray, labels: Labels) -> pd.DataFrame:
    """Return pairs of a false negative and a false positive label, the most frequent first.

    An image with two false negatives and one false positive counts for two pairs, as several labels
    cannot be matched one to one.

    Columns: `false_negative`, `false_positive`, `n` images with both, `share` of the images that
    carry the label `false_negative`.
    """
    truth, decision = y_true.astype(bool), y_pred.astype(bool)
    pairs = (truth & ~decision).T.astype(np.int64) @ (decision & ~truth).astype(np.int64)
    false_negative, false_positive = np.nonzero(pairs)
    n = pairs[false_negative, false_positive]
    table = pd.DataFrame(
        {
            "false_negative": [labels.names[index] for index in false_negative],
            "false_positive": [labels.names[index] for index in false_positive],
            "n": n,
            "share": n / truth.sum(axis=0)[false_negative],
        }
    )
    return table.sort_values(["n", "share"], ascending=False, kind="stable", ignore_index=True)


def slices(
    test: EvaluatedSplit,
    brightness: np.ndarray,
    sources: np.ndarray | None = None,
    *,
    seed: int,
    n: int,
) -> pd.DataFrame:
    """Return metrics by brightness, number of labels and source, one row per slice.

    Sample F1 with its 95 % interval over groups, as most slices lack most classes and macro F1
    would mean little.

    `brightness` is float[N], grey level in [0,255], mean over pixels and channels; `sources` [N]
    are the names of the images' sources, which count if there are several. Columns are
    `kind`, `slice`, `n_images`, `sample_f1`, `low`, `high`, `micro_f1`, `n_true` and `n_predicted`
    (labels per image), `empty` (share without a predicted label).
    """
    quarter = np.searchsorted(np.quantile(brightness, (0.25, 0.5, 0.75)), brightness, side="left")
    chosen = []
    for each in np.unique(quarter):
        values = brightness[quarter == each]
        chosen.append(("brightness", f"{values.min():.1f} to {values.max():.1f}", quarter == each))
    n_labels = np.minimum(test.y_true.sum(axis=1), 3)
    for each in np.unique(n_labels):
        chosen.append(("labels", ("none", "1", "2", "3 or more")[each], n_labels == each))
    names = [] if sources is None else sorted(set(sources))
    chosen += [("source", name, sources == name) for name in names if len(names) > 1]
    return pd.DataFrame(_slice(test, *each, seed=seed, n=n) for each in chosen)


def empty_rows(
    name: str, y_true: np.ndarray, y_pred: np.ndarray, y_prob: np.ndarray
) -> list[dict[str, object]]:
    """Return metrics of split `name` with empty rows of y_pred left empty and with them filled."""
    n_empty = int((~y_pred.any(axis=1)).sum())
    choices = {"left empty": y_pred, "likeliest taken": fill_empty_rows(y_pred, y_prob)}
    return [
        {
            "split": name,
            "empty": choice,
            "n_empty": n_empty,
            "share": n_empty / len(y_true),
            "macro_f1": macro_f1(count_outcomes(y_true, decided)),
            "sample_f1": float(f1_by_row(y_true, decided).mean()),
        }
        for choice, decided in choices.items()
    ]


def _slice(
    test: EvaluatedSplit, kind: str, name: str, rows: np.ndarray, *, seed: int, n: int
) -> dict[str, object]:
    y_true, y_pred = test.y_true[rows], test.y_pred[rows]
    replicates = bootstrap_f1(y_true, y_pred, test.groups[rows], seed=seed, n=n)
    sample_f1 = float(f1_by_row(y_true, y_pred).mean())
    low, high = interval(sample_f1, replicates.sample)
    return {
        "kind": kind,
        "slice": name,
        "n_images": len(y_true),
        "sample_f1": sample_f1,
        "low": low,
        "high": high,
        "micro_f1": micro_f1(count_outcomes(y_true, y_pred)),
        "n_true": float(y_true.sum(axis=1).mean()),
        "n_predicted": float(y_pred.sum(axis=1).mean()),
        "empty": float((~y_pred.any(axis=1)).mean()),
    }
