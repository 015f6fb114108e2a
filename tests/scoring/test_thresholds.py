"""The exact sweep: by hand, against brute force and scikit-learn, and on inputs without a cut."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hpa.errors import UserError
from hpa.labels import LABELS, N_LABELS
from hpa.scoring.counts import count_outcomes
from hpa.scoring.metrics import f1, macro_f1
from hpa.scoring.scores import Scores
from hpa.scoring.thresholds import Thresholds, fit_thresholds


def one_class(truth: list[int], scores: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Every class gets the same column, so that a small table fills 28."""
    y_true = np.tile(np.array(truth, dtype=np.uint8)[:, None], (1, N_LABELS))
    y_prob = np.tile(np.array(scores, dtype=np.float32)[:, None], (1, N_LABELS))
    return y_true, y_prob


def random_world(n_rows: int, seed: int, n_levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know something of the truth; `n_levels` rounds them, which makes ties."""
    random = np.random.default_rng(seed)
    prevalence = random.uniform(0, 0.5, N_LABELS)
    y_true = (random.random((n_rows, N_LABELS)) < prevalence).astype(np.uint8)
    y_prob = np.clip(0.3 * y_true + random.uniform(0, 0.7, y_true.shape), 0, 1)
    if n_levels:
        y_prob = np.round(y_prob * n_levels) / n_levels
    return y_true, y_prob.astype(np.float32)


def brute_force(truth: np.ndarray, scores: np.ndarray) -> float:
    """The best F1 of any threshold in (0,1): each score itself is a cut, if it is not 0."""
    cuts = [cut for cut in np.unique(scores) if cut > 0]
    return max((f1_score(truth, scores >= cut, zero_division=0) for cut in cuts), default=0.0)


def test_the_threshold_is_the_middle_of_the_best_gap() -> None:
    # Cuts below each score, descending (truth 1,0,1,0): F1 2/3, 2/4, 4/5, 4/6; best is 4/5,
    # between 0.5 and 0.25: threshold 0.375.
    thresholds = fit_thresholds(*one_class([1, 0, 1, 0], [0.875, 0.75, 0.5, 0.25]))
    assert thresholds.values.tolist() == [0.375] * N_LABELS
    assert thresholds.fit_f1.tolist() == [4 / 5] * N_LABELS
    assert thresholds.support.tolist() == [2] * N_LABELS
    assert thresholds.rule == ("sweep",) * N_LABELS


def test_equal_scores_stand_or_fall_together() -> None:
    # Cutting inside the tie would give F1 1; the tie as a whole gives 2*1/(2+1) = 2/3.
    thresholds = fit_thresholds(*one_class([1, 0, 0], [0.5, 0.5, 0.25]))
    assert thresholds.fit_f1[0] == pytest.approx(2 / 3)
    assert thresholds.values[0] == 0.375


def test_of_equally_good_cuts_the_widest_gap_wins() -> None:
    # Cut after rank 1: 2*1/(1+3) = 1/2, gap 1/8; cut after rank 5: 2*2/(5+3) = 1/2, gap 1/4;
    # the last cut: 2*3/(9+3) = 1/2, gap 1/16. All others are below 1/2.
    truth = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    scores = [0.9375, 0.8125, 0.75, 0.6875, 0.625, 0.375, 0.25, 0.125, 0.0625]
    thresholds = fit_thresholds(*one_class(truth, scores))
    assert thresholds.fit_f1[0] == 0.5
    assert thresholds.values[0] == (0.625 + 0.375) / 2


def test_of_equally_wide_gaps_the_highest_wins() -> None:
    # Cut after rank 1: 2*1/(1+2) = 2/3; after rank 4: 2*2/(4+2) = 2/3; both gaps are 1/4.
    thresholds = fit_thresholds(*one_class([1, 0, 0, 1, 0], [0.875, 0.625, 0.5, 0.375, 0.125]))
    assert thresholds.fit_f1[0] == pytest.approx(2 / 3)
    assert thresholds.values[0] == 0.75


def test_a_class_that_is_always_true_is_always_predicted() -> None:
    thresholds = fit_thresholds(*one_class([1, 1, 1], [0.75, 0.5, 0.25]))
    assert thresholds.values[0] == 0.125
    assert thresholds.fit_macro_f1 == 1.0


def test_one_row_is_enough() -> None:
    assert fit_thresholds(*one_class([1], [0.5])).values[0] == 0.25


@pytest.mark.parametrize("n_levels", [0, 4, 1])
@pytest.mark.parametrize("seed", range(4))
def test_no_cut_beats_the_sweep(seed: int, n_levels: int) -> None:
    y_true, y_prob = random_world(25, seed, n_levels)
    expected = [brute_force(y_true[:, index], y_prob[:, index]) for index in range(N_LABELS)]
    np.testing.assert_allclose(fit_thresholds(y_true, y_prob).fit_f1, expected, rtol=1e-12)


@pytest.mark.parametrize("n_levels", [0, 10])
def test_the_promised_f1_is_what_predict_scores(n_levels: int) -> None:
    y_true, y_prob = random_world(200, 5, n_levels)
    thresholds = fit_thresholds(y_true, y_prob)
    counts = count_outcomes(y_true, thresholds.predict(y_prob))
    np.testing.assert_array_equal(f1(counts), thresholds.fit_f1)
    assert macro_f1(counts) == thresholds.fit_macro_f1
    oracle = f1_score(y_true, thresholds.predict(y_prob), average="macro", zero_division=0)
    assert thresholds.fit_macro_f1 == pytest.approx(oracle)


def test_row_order_changes_nothing() -> None:
    y_true, y_prob = random_world(200, 3, n_levels=20)
    order = np.random.default_rng(0).permutation(200)
    one, other = fit_thresholds(y_true, y_prob), fit_thresholds(y_true[order], y_prob[order])
    assert one.to_json() == other.to_json()


def test_a_monotone_transform_of_the_scores_leaves_fit_f1_unchanged() -> None:
    y_true, y_prob = random_world(200, 3, n_levels=50)
    one, other = fit_thresholds(y_true, y_prob), fit_thresholds(y_true, y_prob**2)
    np.testing.assert_array_equal(one.fit_f1, other.fit_f1)


def test_neighbouring_float32_scores_are_told_apart() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    thresholds = fit_thresholds(*one_class([1, 0], [float(high), float(low)]))
    assert low < thresholds.values[0] < high
    assert thresholds.fit_f1[0] == 1.0


def test_the_smallest_scores_still_leave_thresholds_inside_zero_to_one() -> None:
    tiny = float(np.nextafter(np.float32(0), np.float32(1)))
    below_one = float(np.nextafter(np.float32(1), np.float32(0)))
    for scores in ([tiny, 0.0], [1.0, below_one]):
        thresholds = fit_thresholds(*one_class([1, 0], scores))
        assert thresholds.fit_f1[0] == 1.0


def test_a_class_without_positives_is_not_predicted_and_is_flagged() -> None:
    y_true, y_prob = random_world(50, 1)
    y_true[:, 27] = 0
    thresholds = fit_thresholds(y_true, y_prob)
    largest = y_prob[:, 27].max()
    assert thresholds.rule[27] == "no positives"
    assert thresholds.flags[27] == ("no positives",)
    assert thresholds.fit_f1[27] == 0.0
    assert thresholds.values[27] == np.nextafter(largest, np.float32(1))
    assert not thresholds.predict(y_prob)[:, 27].any()


def test_a_class_without_positives_whose_score_is_one_keeps_a_threshold_below_one() -> None:
    thresholds = fit_thresholds(*one_class([0, 0], [1.0, 0.5]))
    assert 0.9999 < thresholds.values[0] < 1


def test_positives_that_all_score_zero_are_flagged_as_having_no_cut() -> None:
    thresholds = fit_thresholds(*one_class([1, 0], [0.0, 0.5]))
    assert thresholds.rule[0] == "no cut"
    assert thresholds.flags[0] == ("no cut", "fewer than 10 positives")
    assert thresholds.fit_f1[0] == 0.0


def test_fewer_than_ten_positives_are_flagged() -> None:
    scores = np.linspace(0.1, 0.9, 20).tolist()
    nine = fit_thresholds(*one_class([0] * 11 + [1] * 9, scores))
    ten = fit_thresholds(*one_class([0] * 10 + [1] * 10, scores))
    assert nine.flags[0] == ("fewer than 10 positives",)
    assert ten.flags[0] == ()


def test_thresholds_survive_json_exactly() -> None:
    thresholds = fit_thresholds(*random_world(50, 2))
    again = Thresholds.from_json(json.loads(json.dumps(thresholds.to_json())))
    for name in ("values", "support", "fit_f1"):
        np.testing.assert_array_equal(getattr(thresholds, name), getattr(again, name))
    assert (again.rule, again.flags) == (thresholds.rule, thresholds.flags)


def test_json_names_labels_in_the_competitions_order_and_is_read_in_any() -> None:
    document = fit_thresholds(*random_world(50, 2)).to_json()
    assert tuple(document["classes"]) == LABELS
    backwards = {**document, "classes": dict(reversed(document["classes"].items()))}
    assert Thresholds.from_json(backwards).to_json() == document


def test_a_label_missing_or_misspelt_in_json_is_named() -> None:
    document = fit_thresholds(*random_world(50, 2)).to_json()
    document["classes"]["Nucleus"] = document["classes"].pop("Cytosol")
    with pytest.raises(UserError, match=r"missing \['Cytosol'\], unknown \['Nucleus'\]"):
        Thresholds.from_json(document)


def test_a_threshold_edited_to_one_is_refused() -> None:
    document = fit_thresholds(*random_world(50, 2)).to_json()
    document["classes"]["Cytosol"]["threshold"] = 1.0
    with pytest.raises(UserError, match=r"'Cytosol' is out of range(.|\n)*1\.0"):
        Thresholds.from_json(document)


def test_thresholds_of_27_classes_are_refused() -> None:
    thresholds = fit_thresholds(*random_world(50, 2))
    with pytest.raises(
        UserError, match=r"thresholds.values has the wrong length(.|\n)*28(.|\n)*27"
    ):
        replace(thresholds, values=thresholds.values[:27])


def test_predict_refuses_a_nan_with_its_place() -> None:
    y_true, y_prob = random_world(20, 0)
    thresholds = fit_thresholds(y_true, y_prob)
    y_prob[7, 3] = np.nan
    with pytest.raises(UserError, match=r"y_prob is out of range(.|\n)*nan at row 7, column 3"):
        thresholds.predict(y_prob)


def test_logits_are_refused() -> None:
    y_true, y_prob = random_world(20, 0)
    y_prob[0, 2] = -3.5
    with pytest.raises(UserError, match=r"-3\.5 at row 0, column 2(.|\n)*sigmoid"):
        fit_thresholds(y_true, y_prob)


def test_an_empty_split_is_refused() -> None:
    y_true, y_prob = random_world(20, 0)
    with pytest.raises(UserError, match=r"nothing to fit(.|\n)*\(0, 28\)"):
        fit_thresholds(y_true[:0], y_prob[:0])


def test_truth_and_scores_of_different_rows_are_refused() -> None:
    y_true, y_prob = random_world(20, 0)
    with pytest.raises(UserError, match=r"do not fit together(.|\n)*\(19, 28\) and \(20, 28\)"):
        fit_thresholds(y_true[:19], y_prob)


def test_real_scores_reach_the_known_optimum_quickly(real_data: Path) -> None:
    scores = Scores.read(real_data / "scores_resnet34_256.npz")
    start = time.perf_counter()
    thresholds = fit_thresholds(scores.labelled(), scores.y_prob)
    seconds = time.perf_counter() - start
    assert thresholds.fit_macro_f1 == pytest.approx(0.58285, abs=1e-5)
    assert seconds < 0.4  # 6 ms where it was written; a grid search takes 14 s


def test_a_score_equal_to_the_threshold_is_predicted() -> None:
    thresholds = fit_thresholds(*one_class([1, 0], [0.75, 0.25]))
    assert thresholds.values[0] == 0.5
    y_prob = np.full((1, N_LABELS), 0.5, dtype=np.float32)
    assert thresholds.predict(y_prob).all()
    assert not thresholds.predict(np.nextafter(y_prob, np.float32(0))).any()
