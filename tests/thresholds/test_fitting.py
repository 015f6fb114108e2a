"""Fitted thresholds: by hand, against brute force and scikit-learn, on degenerate scores."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hpa.errors import UserError
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import f1, macro_f1
from hpa.metrics.predictions import Scores
from hpa.metrics.ranking import rank_scores, sweep
from hpa.thresholds.blending import choose_blend
from hpa.thresholds.decisions import Thresholds
from hpa.thresholds.fitting import fit_by_rule, fit_thresholds
from hpa.thresholds.thresholds_file import thresholds_to_json
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Labels

N_LABELS = len(hpa2018.LABELS)


def swept(y_true: np.ndarray, y_prob: np.ndarray) -> Thresholds:
    return fit_by_rule("sweep", y_true, y_prob, hpa2018.LABELS, fixed=0.5, seed=0)


def one_class(truth: list[int], scores: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Repeat one column for all 28 classes."""
    y_true = np.tile(np.array(truth, dtype=np.uint8)[:, None], (1, N_LABELS))
    y_prob = np.tile(np.array(scores, dtype=np.float32)[:, None], (1, N_LABELS))
    return y_true, y_prob


def random_world(n_rows: int, seed: int, n_levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Informative scores; `n_levels` rounds them, which makes ties."""
    random = np.random.default_rng(seed)
    prevalence = random.uniform(0, 0.5, N_LABELS)
    y_true = (random.random((n_rows, N_LABELS)) < prevalence).astype(np.uint8)
    y_prob = np.clip(0.3 * y_true + random.uniform(0, 0.7, y_true.shape), 0, 1)
    if n_levels:
        y_prob = np.round(y_prob * n_levels) / n_levels
    return y_true, y_prob.astype(np.float32)


def brute_force(truth: np.ndarray, scores: np.ndarray) -> float:
    """Best F1 of any threshold in (0,1): every score above 0 is a cut."""
    cuts = [cut for cut in np.unique(scores) if cut > 0]
    return max((f1_score(truth, scores >= cut, zero_division=0) for cut in cuts), default=0.0)


def test_the_threshold_is_the_middle_of_the_best_gap() -> None:
    # Cuts below each score, descending (truth 1,0,1,0): F1 2/3, 2/4, 4/5, 4/6; best is 4/5,
    # between 0.5 and 0.25: threshold 0.375.
    thresholds = swept(*one_class([1, 0, 1, 0], [0.875, 0.75, 0.5, 0.25]))
    assert thresholds.values.tolist() == [0.375] * N_LABELS
    assert thresholds.fit_f1.tolist() == [4 / 5] * N_LABELS
    assert thresholds.support.tolist() == [2] * N_LABELS
    assert thresholds.rule == ("sweep",) * N_LABELS


def test_tied_scores_are_never_separated() -> None:
    # Cutting inside the tie would give F1 1; the tie as a whole gives 2*1/(2+1) = 2/3.
    thresholds = swept(*one_class([1, 0, 0], [0.5, 0.5, 0.25]))
    assert thresholds.fit_f1[0] == pytest.approx(2 / 3)
    assert thresholds.values[0] == 0.375


def test_of_equally_good_cuts_the_widest_gap_wins() -> None:
    # Cut after rank 1: 2*1/(1+3) = 1/2, gap 1/8; cut after rank 5: 2*2/(5+3) = 1/2, gap 1/4;
    # the last cut: 2*3/(9+3) = 1/2, gap 1/16. All others are below 1/2.
    truth = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    scores = [0.9375, 0.8125, 0.75, 0.6875, 0.625, 0.375, 0.25, 0.125, 0.0625]
    thresholds = swept(*one_class(truth, scores))
    assert thresholds.fit_f1[0] == 0.5
    assert thresholds.values[0] == (0.625 + 0.375) / 2


def test_of_equally_wide_gaps_the_highest_wins() -> None:
    # Cut after rank 1: 2*1/(1+2) = 2/3; after rank 4: 2*2/(4+2) = 2/3; both gaps are 1/4.
    thresholds = swept(*one_class([1, 0, 0, 1, 0], [0.875, 0.625, 0.5, 0.375, 0.125]))
    assert thresholds.fit_f1[0] == pytest.approx(2 / 3)
    assert thresholds.values[0] == 0.75


def test_a_class_that_is_always_true_is_always_predicted() -> None:
    thresholds = swept(*one_class([1, 1, 1], [0.75, 0.5, 0.25]))
    assert thresholds.values[0] == 0.125
    assert thresholds.fit_macro_f1 == 1.0


def test_one_row_is_enough() -> None:
    assert swept(*one_class([1], [0.5])).values[0] == 0.25


@pytest.mark.parametrize("n_levels", [0, 4, 1])
@pytest.mark.parametrize("seed", range(4))
def test_no_cut_beats_the_sweep(seed: int, n_levels: int) -> None:
    y_true, y_prob = random_world(25, seed, n_levels)
    expected = [brute_force(y_true[:, index], y_prob[:, index]) for index in range(N_LABELS)]
    np.testing.assert_allclose(swept(y_true, y_prob).fit_f1, expected, rtol=1e-12)


@pytest.mark.parametrize("n_levels", [0, 10])
def test_fit_f1_is_the_f1_of_predict(n_levels: int) -> None:
    y_true, y_prob = random_world(200, 5, n_levels)
    thresholds = swept(y_true, y_prob)
    counts = count_outcomes(y_true, thresholds.predict(y_prob))
    np.testing.assert_array_equal(f1(counts), thresholds.fit_f1)
    assert macro_f1(counts) == thresholds.fit_macro_f1
    oracle = f1_score(y_true, thresholds.predict(y_prob), average="macro", zero_division=0)
    assert thresholds.fit_macro_f1 == pytest.approx(oracle)


def test_row_order_changes_nothing() -> None:
    y_true, y_prob = random_world(200, 3, n_levels=20)
    order = np.random.default_rng(0).permutation(200)
    one, other = swept(y_true, y_prob), swept(y_true[order], y_prob[order])
    assert thresholds_to_json(one) == thresholds_to_json(other)


def test_a_monotone_transform_of_the_scores_leaves_fit_f1_unchanged() -> None:
    y_true, y_prob = random_world(200, 3, n_levels=50)
    one, other = swept(y_true, y_prob), swept(y_true, y_prob**2)
    np.testing.assert_array_equal(one.fit_f1, other.fit_f1)


def test_neighbouring_float32_scores_are_told_apart() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    thresholds = swept(*one_class([1, 0], [float(high), float(low)]))
    assert low < thresholds.values[0] < high
    assert thresholds.fit_f1[0] == 1.0


def test_the_smallest_scores_still_leave_thresholds_inside_zero_to_one() -> None:
    tiny = float(np.nextafter(np.float32(0), np.float32(1)))
    below_one = float(np.nextafter(np.float32(1), np.float32(0)))
    for scores in ([tiny, 0.0], [1.0, below_one]):
        thresholds = swept(*one_class([1, 0], scores))
        assert thresholds.fit_f1[0] == 1.0


def test_a_class_without_positives_is_not_predicted_and_is_flagged() -> None:
    y_true, y_prob = random_world(50, 1)
    y_true[:, 27] = 0
    thresholds = swept(y_true, y_prob)
    largest = y_prob[:, 27].max()
    assert thresholds.flags[27] == ("no positives",)
    assert thresholds.fit_f1[27] == 0.0
    assert thresholds.values[27] == np.nextafter(largest, np.float32(1))
    assert not thresholds.predict(y_prob)[:, 27].any()


def test_a_class_without_positives_whose_score_is_one_keeps_a_threshold_below_one() -> None:
    thresholds = swept(*one_class([0, 0], [1.0, 0.5]))
    assert 0.9999 < thresholds.values[0] < 1


def test_positives_that_all_score_zero_are_flagged_as_not_found() -> None:
    thresholds = swept(*one_class([1, 0], [0.0, 0.5]))
    assert thresholds.flags[0] == ("not found", "fewer than 10 positives")
    assert thresholds.fit_f1[0] == 0.0


def test_fewer_than_ten_positives_are_flagged() -> None:
    scores = np.linspace(0.1, 0.9, 20).tolist()
    nine = swept(*one_class([0] * 11 + [1] * 9, scores))
    ten = swept(*one_class([0] * 10 + [1] * 10, scores))
    assert nine.flags[0] == ("fewer than 10 positives",)
    assert ten.flags[0] == ()


def test_logits_are_refused() -> None:
    y_true, y_prob = random_world(20, 0)
    y_prob[0, 2] = -3.5
    with pytest.raises(ValueError, match=r"-3\.5 at row 0, column 2; apply the sigmoid"):
        swept(y_true, y_prob)


def test_an_empty_split_is_refused() -> None:
    y_true, y_prob = random_world(20, 0)
    with pytest.raises(UserError, match=r"no scores to fit(.|\n)*\(0, 28\)"):
        swept(y_true[:0], y_prob[:0])


def test_labels_and_scores_of_different_rows_are_refused() -> None:
    y_true, y_prob = random_world(20, 0)
    with pytest.raises(ValueError, match=r"equal shapes, got \(19, 28\) and \(20, 28\)"):
        swept(y_true[:19], y_prob)


@pytest.mark.slow
def test_neither_the_order_of_rows_nor_the_type_of_floats_moves_the_blend() -> None:
    y_true, y_prob = random_world(60, 3, n_levels=20)
    order = np.random.default_rng(0).permutation(60)
    one = fit_thresholds(y_true, y_prob, hpa2018.LABELS)
    other = fit_thresholds(
        y_true[order].astype(bool), y_prob[order].astype(np.float64), hpa2018.LABELS
    )
    assert thresholds_to_json(one) == thresholds_to_json(other)


@pytest.mark.slow
def test_the_blend_is_named_in_words_and_differs_by_support() -> None:
    y_true, y_prob = random_world(80, 4)
    y_true[:, 3] = 0
    y_true[:, 4] = 1
    thresholds = fit_thresholds(y_true, y_prob, hpa2018.LABELS)
    names = {word for words in thresholds.rule for word in words.replace(",", "").split()[1::2]}
    assert "bagged" in names
    assert names <= {"bagged", "proportion", "expected", "global", "fixed"}
    assert "bagged" not in thresholds.rule[3]
    assert thresholds.flags[3] == ("no positives",)


def test_a_single_row_is_fitted_but_cannot_be_cross_fitted() -> None:
    y_true, y_prob = random_world(1, 0)
    thresholds = fit_thresholds(y_true, y_prob, hpa2018.LABELS)
    np.testing.assert_array_equal(thresholds.predict(y_prob), y_true)
    assert thresholds.cross_fitted_macro_f1 == 0


@pytest.mark.parametrize("n_rows", [2, 3])
def test_few_rows_give_thresholds_with_the_f1_they_state(n_rows: int) -> None:
    y_true, y_prob = random_world(n_rows, 0)
    thresholds = fit_thresholds(y_true, y_prob, hpa2018.LABELS)
    counts = count_outcomes(y_true, thresholds.predict(y_prob))
    assert macro_f1(counts) == thresholds.fit_macro_f1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "gain"), [("scores_resnet34_256", 0.004), ("scores_inception_v1", 0.0)]
)
def test_on_half_splits_of_real_scores_the_blend_beats_the_sweep(
    real_data: Path, name: str, gain: float
) -> None:
    # Over 50 halves it gains three times as much; six halves have a standard error of .004.
    scores = Scores.read(real_data / f"{name}.npz")
    gains = []
    for seed in range(6):
        fit, test = np.array_split(np.random.default_rng(seed).permutation(len(scores)), 2)
        ranking = rank_scores(scores.labelled()[fit], scores.y_prob[fit])
        held_out = rank_scores(scores.labelled()[test], scores.y_prob[test])
        blended = held_out.f1_at(choose_blend(ranking, seed).values).mean()
        gains.append(blended - held_out.f1_at(sweep(ranking)[0]).mean())
    assert np.mean(gains) > gain


def test_few_groups_that_fill_unequal_numbers_of_folds_get_a_blend() -> None:
    """Four groups of two images and two labels, as in a pilot study."""
    y_true = np.array([[0, 1]] * 3 + [[1, 1], [1, 0], [1, 1], [1, 0], [1, 0]], np.uint8)
    groups = np.repeat(np.arange(4), 2)
    for seed in range(5):
        y_prob = np.random.default_rng(seed).uniform(0.6, 0.7, y_true.shape).astype(np.float32)
        labels = Labels.named(["a", "b"])
        assert len(fit_thresholds(y_true, y_prob, labels, seed=seed, groups=groups).values) == 2
