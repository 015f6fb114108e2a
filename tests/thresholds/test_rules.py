"""Rules: values by hand, defining properties, and degenerate inputs."""

import numpy as np
import pytest

from hpa.metrics.ranking import Ranking, rank_scores, sweep
from hpa.thresholds.blending import INITIAL_POINTS, choose_blend
from hpa.thresholds.joint_search import search_jointly
from hpa.thresholds.rules import RULES, bagged, best_global, calibrated, expected, proportional
from hpa.vocabulary import hpa2018

N_LABELS = len(hpa2018.LABELS)


def world(n_rows: int, seed: int = 0, prevalence: float = 0.2) -> Ranking:
    """Scores that are exactly calibrated: each row is true with the probability it states."""
    random = np.random.default_rng(seed)
    y_prob = random.beta(prevalence * 2, (1 - prevalence) * 2, (n_rows, N_LABELS))
    y_true = (random.random(y_prob.shape) < y_prob).astype(np.uint8)
    return rank_scores(y_true, y_prob)


def column(truth: list[int], scores: list[float]) -> Ranking:
    y_true = np.tile(np.array(truth, dtype=np.uint8)[:, None], (1, N_LABELS))
    return rank_scores(y_true, np.tile(np.array(scores)[:, None], (1, N_LABELS)))


def test_proportion_predicts_as_many_as_are_true() -> None:
    # Two are true, so the two highest are predicted: the middle of 0.75 and 0.5.
    assert proportional(column([1, 0, 1, 0], [0.875, 0.75, 0.5, 0.25]))[0] == 0.625


def test_expected_f1_of_calibrated_scores_finds_the_threshold_of_half_the_best_f1() -> None:
    # Lipton et al. 2014: the optimal threshold of calibrated scores is half the optimal F1.
    ranking = world(20_000)
    np.testing.assert_allclose(expected(ranking), sweep(ranking)[1] / 2, atol=0.02)


def test_calibration_keeps_the_number_of_positives() -> None:
    ranking = world(3_000)
    np.testing.assert_allclose(calibrated(ranking).sum(axis=1), ranking.support, rtol=1e-3)


def test_the_best_global_threshold_is_the_same_for_all_and_beats_its_neighbours() -> None:
    ranking = world(500)
    values = best_global(ranking)
    assert len(set(values)) == 1
    best = ranking.f1_at(values).mean()
    for other in np.linspace(0.1, 0.9, 9):
        assert ranking.f1_at(np.full(N_LABELS, other)).mean() <= best + 1e-3


def test_the_bagged_sweep_scatters_less_than_the_sweep() -> None:
    worlds = [world(300, seed) for seed in range(12)]
    swept = np.array([sweep(each)[0] for each in worlds])
    assert np.array([bagged(each) for each in worlds]).std() < 0.8 * swept.std()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    ("truth", "scores"),
    [([0, 0], [0.5, 1.0]), ([1, 1], [0.0, 0.0]), ([1, 0], [1.0, 1.0]), ([1], [0.5]), ([0], [0.0])],
)
def test_every_rule_is_defined_for_degenerate_scores(
    name: str, truth: list[int], scores: list[float]
) -> None:
    values = RULES[name](column(truth, scores))
    assert values.shape == (N_LABELS,)
    assert ((values > 0) & (values < 1)).all()


def test_the_joint_search_does_not_beat_the_sweep() -> None:
    ranking = world(100)
    values = search_jointly(ranking, seed=0)
    assert ranking.f1_at(values).mean() == pytest.approx(sweep(ranking)[1].mean())


def test_the_blend_is_a_function_of_the_seed() -> None:
    ranking = world(150)
    one, same, other = (choose_blend(ranking, seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_shares_add_up_to_one() -> None:
    ranking = world(100)
    shares = choose_blend(ranking, seed=0).shares
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    assert (shares >= 0).all()


def test_the_first_initial_points_are_the_plain_rules() -> None:
    for part, setting in enumerate(INITIAL_POINTS[:5]):
        assert setting.shares(np.array([7, 900]))[part].tolist() == [1, 1]


def test_groups_of_one_row_each_change_nothing() -> None:
    random = np.random.default_rng(2)
    y_true = (random.random((60, N_LABELS)) < 0.2).astype(np.uint8)
    y_prob = random.random(y_true.shape)
    one, other = rank_scores(y_true, y_prob), rank_scores(y_true, y_prob, np.arange(60)[::-1])
    np.testing.assert_array_equal(choose_blend(one, 0).values, choose_blend(other, 0).values)
