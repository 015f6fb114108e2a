"""F1 of any threshold, counted from one sort."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hpa.metrics.predictions import Scores
from hpa.metrics.ranking import best_macro_f1, rank_scores
from hpa.vocabulary import hpa2018

N_LABELS = len(hpa2018.LABELS)


@pytest.mark.parametrize("kind", ["random", "ties", "no positives", "all positives", "one row"])
def test_f1_at_any_threshold_is_that_of_scikit_learn(kind: str) -> None:
    random = np.random.default_rng(5)
    y_true = (random.random((40, N_LABELS)) < 0.3).astype(np.uint8)
    y_prob = random.random((40, N_LABELS)).astype(np.float32)
    if kind == "ties":
        y_prob = np.round(y_prob * 4) / 4
    if kind in ("no positives", "all positives"):
        y_true[:] = kind == "all positives"
    if kind == "one row":
        y_true, y_prob = y_true[:1], y_prob[:1]
    ranking = rank_scores(y_true, y_prob)
    for values in (np.full(N_LABELS, 0.5), np.linspace(0.01, 0.99, N_LABELS), y_prob[0] + 1e-300):
        expected = f1_score(y_true, y_prob >= values, average=None, zero_division=0)
        np.testing.assert_allclose(ranking.f1_at(values), expected, rtol=1e-12)


def test_positives_come_first_among_equal_scores() -> None:
    y_true = np.tile(np.array([[0], [1], [0], [1]], dtype=np.uint8), (1, N_LABELS))
    y_prob = np.tile(np.array([[0.5], [0.5], [-0.0], [0.0]], dtype=np.float32), (1, N_LABELS))
    ranking = rank_scores(y_true, y_prob)
    assert ranking.truth[0].tolist() == [1, 0, 1, 0]
    assert ranking.scores[0].tolist() == [0.5, 0.5, 0.0, 0.0]


def test_a_subset_is_the_ranking_of_its_rows() -> None:
    random = np.random.default_rng(5)
    y_true = (random.random((40, N_LABELS)) < 0.3).astype(np.uint8)
    y_prob = random.random((40, N_LABELS)).astype(np.float32)
    subset = rank_scores(y_true, y_prob).subset(
        rank_scores(y_true, y_prob).scores >= np.sort(y_prob, axis=0)[-10][:, None]
    )
    top = np.argsort(-y_prob, axis=0)[:10]
    expected = rank_scores(np.take_along_axis(y_true, top, 0), np.take_along_axis(y_prob, top, 0))
    np.testing.assert_array_equal(subset.scores, expected.scores)
    np.testing.assert_array_equal(subset.true_positives, expected.true_positives)
    np.testing.assert_array_equal(subset.support, expected.support)


def test_real_scores_reach_the_known_optimum(real_data: Path) -> None:
    scores = Scores.read(real_data / "scores_resnet34_256.npz")
    best = best_macro_f1(scores.labelled(), scores.y_prob)
    assert best == pytest.approx(0.58285, abs=1e-5)
