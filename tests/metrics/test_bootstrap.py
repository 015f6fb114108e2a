"""Bootstrap: groups are drawn whole, and the coverage of intervals is right."""

import numpy as np
import pytest

from hpa.metrics.bootstrap import bootstrap_f1, group_sums, interval, too_few
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import f1, f1_by_row, macro_f1, micro_f1, weighted_f1


def random_pair(n_rows: int, n_classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_true = (random.random((n_rows, n_classes)) < 0.4).astype(np.uint8)
    wrong = random.random(y_true.shape) < 0.2
    return y_true, np.where(wrong, 1 - y_true, y_true).astype(np.uint8)


def test_group_sums_match_a_table_worked_by_hand() -> None:
    values = np.array([[1.0, 10], [2, 20], [4, 40]])
    assert group_sums(values, np.array([9, 3, 9])).tolist() == [[2, 20], [5, 50]]


def test_the_rows_of_a_single_group_give_no_interval() -> None:
    y_true, y_pred = random_pair(30)
    drawn = bootstrap_f1(y_true, y_pred, np.zeros(30, int), seed=1, n=7)
    for replicates in vars(drawn).values():
        assert np.isnan(replicates).all()
    assert np.isnan(interval(0.5, drawn.macro)).all()
    assert too_few(y_true, np.zeros(30, int)) == "all images belong to one group"


def test_copies_in_the_same_group_leave_the_interval_and_copies_apart_narrow_it() -> None:
    y_true, y_pred = random_pair(60)
    groups = np.arange(60)
    once = bootstrap_f1(y_true, y_pred, groups, seed=1, n=400)
    four = [np.tile(each, (4, 1)) for each in (y_true, y_pred)]
    together = bootstrap_f1(*four, np.tile(groups, 4), seed=1, n=400)
    np.testing.assert_allclose(together.macro, once.macro)
    apart = bootstrap_f1(*four, np.arange(240), seed=1, n=400)
    # four times the independent rows: half the spread
    assert 0.35 < apart.macro.std() / once.macro.std() < 0.65


def test_the_interval_covers_the_true_value_in_about_95_percent_of_samples() -> None:
    population = random_pair(4000, seed=9)
    truth = micro_f1(count_outcomes(*population))
    random, covered = np.random.default_rng(4), 0
    for _ in range(200):
        rows = random.integers(4000, size=150)
        sample = [each[rows] for each in population]
        drawn = bootstrap_f1(*sample, np.arange(150), seed=1, n=200)
        low, high = interval(micro_f1(count_outcomes(*sample)), drawn.micro)
        covered += low <= truth <= high
    assert 180 <= covered <= 200  # binomial(200, .95) has 190 and a standard deviation of 3


@pytest.mark.parametrize("n_positives", [2, 5, 20])
def test_the_macro_interval_covers_the_true_value_for_rare_and_common_classes(
    n_positives: int,
) -> None:
    """Each class has `n_positives` images of its own; half are found, with as many errors."""
    random, n_samples, covered = np.random.default_rng(5), 60, 0
    rows = 10 * n_positives
    y_true = np.repeat(np.eye(10, dtype=np.uint8), n_positives, axis=0)
    for _ in range(n_samples):
        y_pred = (y_true & (random.random(y_true.shape) < 0.5)).astype(np.uint8)
        y_pred |= (y_true == 0) & (random.random(y_true.shape) < 0.5 / 9)
        low, high = interval(
            macro_f1(count_outcomes(y_true, y_pred)),
            bootstrap_f1(y_true, y_pred, np.arange(rows), seed=1, n=200).by_class.mean(axis=1),
        )
        covered += low <= 0.5 <= high  # 2 · .5 / (1 + .5 + .5)
    assert covered >= 52  # binomial(60, .95) has 57 and a standard deviation of 1.7


CASES = {
    "one or two positives": lambda random: (random.random((60, 28)) < 0.025, 0.5),
    "common": lambda random: (random.random((200, 28)) < 0.2, 0.8),
    "perfect": lambda random: (random.random((100, 28)) < 0.1, 1.0),
    "always wrong": lambda random: (random.random((100, 28)) < 0.1, 0.0),
    "no positive": lambda random: (np.zeros((30, 28), bool), 0.9),
    "two rows": lambda random: (random.random((2, 28)) < 0.5, 0.5),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("group_size", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_every_interval_contains_its_estimate_or_macro_f1_has_a_reason(
    case: str, group_size: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    truth, skill = CASES[case](random)
    y_true = truth.astype(np.uint8)
    right = random.random(y_true.shape) < skill
    y_pred = np.where(right, y_true, 1 - y_true).astype(np.uint8)
    groups = np.arange(len(y_true)) // group_size
    drawn = bootstrap_f1(y_true, y_pred, groups, seed=seed, n=200)
    counts = count_outcomes(y_true, y_pred)
    estimates = {
        "micro": micro_f1(counts),
        "weighted": weighted_f1(counts),
        "sample": float(f1_by_row(y_true, y_pred).mean()),
    }
    one_group = len(set(groups.tolist())) == 1
    for name, estimate in estimates.items():
        assert_inside(estimate, interval(estimate, getattr(drawn, name)), known=not one_group)
    for estimate, replicates in zip(f1(counts), drawn.by_class.T, strict=True):
        assert_inside(estimate, interval(estimate, replicates), known=not one_group)
    reason = too_few(y_true, groups)
    assert_inside(macro_f1(counts), interval(macro_f1(counts), drawn.macro), known=not reason)
    if case in ("common", "perfect", "always wrong") and group_size == 1:
        assert not reason
    if case in ("one or two positives", "no positive", "two rows"):
        assert reason


def assert_inside(estimate: float, found: tuple[float, float], *, known: bool) -> None:
    low, high = found
    assert low <= estimate <= high if known else np.isnan(found).all()
    assert not known or 0 <= low <= high <= 1


def test_opposite_errors_whose_estimate_is_above_every_replicate_stay_inside() -> None:
    """Two groups, in each of which one of two classes is right and the other wrong."""
    y_true = np.repeat(np.array([[1, 0], [0, 1]], np.uint8), 500, axis=0)
    y_pred = np.ones_like(y_true)
    groups = np.repeat([0, 1], 500)
    drawn = bootstrap_f1(y_true, y_pred, groups, seed=1, n=400)
    score = macro_f1(count_outcomes(y_true, y_pred))
    low, high = interval(score, drawn.by_class.mean(axis=1))
    assert low <= score <= high


def test_a_class_found_in_its_only_image_is_not_certain() -> None:
    y_true = np.zeros((50, 2), np.uint8)
    y_true[:, 0] = 1
    y_true[0, 1] = 1
    drawn = bootstrap_f1(y_true, y_true, np.arange(50), seed=1, n=1000)
    often, once = (interval(1.0, each) for each in drawn.by_class.T)
    assert often[0] > 0.93  # 50 of 50
    assert once[0] < 0.4  # 1 of 1
    assert often[1] == once[1] == 1


def test_a_class_without_positives_counts_as_zero_as_in_macro_f1() -> None:
    y_true = np.array([[1, 0], [1, 0]], np.uint8)
    drawn = bootstrap_f1(y_true, y_true, np.arange(2), seed=1, n=9)
    assert not drawn.by_class[:, 1].any()
    assert drawn.by_class[:, 0].all()


def test_groups_of_another_length_are_refused() -> None:
    y_true, y_pred = random_pair(5)
    with pytest.raises(ValueError, match=r"groups must be .*shape \(5,\).*shape \(4,\)"):
        bootstrap_f1(y_true, y_pred, np.arange(4), seed=1, n=9)
