"""Where the model errs: confusions of labels, kinds of images, and rows left without a label."""

import numpy as np
import pandas as pd

from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.labels import LABELS
from hpa.metrics.bootstrap import bootstrap_f1, percentile_interval
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import f1_by_row, macro_f1, micro_f1
from hpa.thresholds.decisions import take_likeliest

N_QUARTERS = 4


def confusions(y_true: np.ndarray, y_pred: np.ndarray) -> pd.DataFrame:
    """Return how often one label was missed where another was invented, the commonest first.

    An image counts for the pair (missed, invented) if it truly carries `missed` and was not given
    it, and was given `invented` and does not carry it. An image with two misses and one invention
    counts for two pairs: with several labels nobody can say which stands for which.

    Columns: `missed`, `invented`, `n` images, `share` of the images that carry `missed`.
    """
    truth, decision = y_true.astype(bool), y_pred.astype(bool)
    pairs = (truth & ~decision).T.astype(np.int64) @ (decision & ~truth).astype(np.int64)
    missed, invented = np.nonzero(pairs)
    n = pairs[missed, invented]
    table = pd.DataFrame(
        {
            "missed": [LABELS[index] for index in missed],
            "invented": [LABELS[index] for index in invented],
            "n": n,
            "share": n / truth.sum(axis=0)[missed],
        }
    )
    return table.sort_values(["n", "share"], ascending=False, kind="stable", ignore_index=True)


def slices(judged: EvaluatedSplit, brightness: np.ndarray, *, seed: int, n: int) -> pd.DataFrame:
    """Return results by brightness and by number of labels, a row a kind of image.

    Macro F1 is no measure here, as most slices lack most classes: F1 of each image, averaged, and
    its 95 % interval over groups.

    Args:
        judged: the images.
        brightness: float[N], grey level in [0,255], mean over pixels and channels.
        seed, n: of the bootstrap.

    Returns:
        Columns `kind`, `slice`, `n_images`, `sample_f1`, `low`, `high`, `micro_f1`, `n_true` and
        `n_predicted` (labels an image), `empty` (share without a predicted label).
    """
    quarter = _quarters(brightness)
    n_labels = np.minimum(judged.y_true.sum(axis=1), 3)
    chosen = [
        ("brightness", _quarter_name(brightness[quarter == each]), quarter == each)
        for each in range(N_QUARTERS)
    ] + [
        ("labels", {0: "none", 1: "1", 2: "2", 3: "3 or more"}[each], n_labels == each)
        for each in range(4)
    ]
    rows = [_slice(judged, *each, seed=seed, n=n) for each in chosen if each[2].any()]
    return pd.DataFrame(rows)


def empty_rows(
    name: str, y_true: np.ndarray, y_pred: np.ndarray, y_prob: np.ndarray
) -> list[dict[str, object]]:
    """Return what leaving rows empty and what filling them is worth, a row each.

    Args:
        name: of the split.
        y_true, y_pred: uint8[N,28], before any filling.
        y_prob: float[N,28].
    """
    n_empty = int((~y_pred.any(axis=1)).sum())
    choices = {"left empty": y_pred, "likeliest taken": take_likeliest(y_pred, y_prob)}
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
    judged: EvaluatedSplit, kind: str, name: str, rows: np.ndarray, *, seed: int, n: int
) -> dict[str, object]:
    y_true, y_pred = judged.y_true[rows], judged.y_pred[rows]
    replicates = bootstrap_f1(y_true, y_pred, judged.groups[rows], seed=seed, n=n)
    low, high = percentile_interval(replicates.sample)
    return {
        "kind": kind,
        "slice": name,
        "n_images": len(y_true),
        "sample_f1": float(f1_by_row(y_true, y_pred).mean()),
        "low": low,
        "high": high,
        "micro_f1": micro_f1(count_outcomes(y_true, y_pred)),
        "n_true": float(y_true.sum(axis=1).mean()),
        "n_predicted": float(y_pred.sum(axis=1).mean()),
        "empty": float((~y_pred.any(axis=1)).mean()),
    }


def _quarters(values: np.ndarray) -> np.ndarray:
    """Return which quarter of the images each is in, int[N]; equal values share one."""
    edges = np.quantile(values, np.arange(1, N_QUARTERS) / N_QUARTERS)
    return np.searchsorted(edges, values, side="left")


def _quarter_name(values: np.ndarray) -> str:
    return f"{values.min():.1f} to {values.max():.1f}" if len(values) else ""
