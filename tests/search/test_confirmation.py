from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml

from hpa.config.folders import PACKED_DIR, SPLIT_DIR
from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import read_index
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import macro_f1
from hpa.search.confirmation import (
    Confirmation,
    SeedComparison,
    as_text,
    compare_seeds,
    confirm_best,
)
from hpa.search.decision_text import decode_decisions, encode_decisions
from hpa.search.study import Study, begin_study
from hpa.search.worker import work
from hpa.thresholds.blending import blend_rule
from hpa.thresholds.cross_fitting import cross_fitted_decisions
from hpa.vocabulary import hpa2018
from support.racing import gamma_as_value
from support.search_workspaces import make_workspace, small_params

GAINED = SeedComparison([7, 8], [0.2, 0.3], [0.4, 0.2], 0.05, [0.01, 0.09], 0.98)


def truth(n_rows: int) -> np.ndarray:
    return (np.arange(28) == np.arange(n_rows)[:, None] % 28).astype(np.uint8)


def compare(current: list[np.ndarray], best: list[np.ndarray]) -> SeedComparison:
    y_true, groups = truth(len(current[0])), np.arange(len(current[0]))
    return compare_seeds(y_true, groups, current, best, seeds=[1, 2], seed=0, n=200)


def test_equal_decisions_do_not_differ_and_correct_ones_beat_wrong_ones() -> None:
    right, wrong = truth(280), 1 - truth(280)
    same = compare([right, wrong], [wrong, right])  # the order of seeds does not matter
    assert (same.difference, same.interval, same.probability_better) == (0.0, [0.0, 0.0], 0.5)
    found = compare([wrong, wrong], [right, wrong])
    # Wrong decisions have F1 0, correct ones F1 1: the mean of the two seeds is a half.
    assert (found.current, found.best, found.difference) == ([0.0, 0.0], [1.0, 0.0], 0.5)
    assert found.interval is not None
    assert 0.3 < found.interval[0] <= 0.5 <= found.interval[1] < 0.7
    assert found.probability_better == 1.0


def test_too_few_positives_give_no_interval_and_are_not_called_better() -> None:
    """Two images per label."""
    found = compare([1 - truth(56)] * 2, [truth(56)] * 2)
    assert (found.difference, found.interval) == (1.0, None)
    confirmation = Confirmation("hpa", 5, 0.3, {"loss.gamma": 1.0}, found)
    assert not confirmation.is_better
    assert "not shown to be better" in as_text(confirmation)


@pytest.mark.parametrize("n_classes", [1, 5, 28, 300])
def test_encoded_decisions_decode_to_the_same(n_classes: int) -> None:
    y_pred = np.random.default_rng(0).integers(0, 2, (45, n_classes), dtype=np.uint8)
    text = encode_decisions(y_pred)
    assert text.isascii()
    np.testing.assert_array_equal(decode_decisions(text, y_pred.shape), y_pred)


@pytest.mark.parametrize("n_copies", [1, 4])
def test_no_row_takes_part_in_its_own_decision_nor_in_that_of_its_copies(n_copies: int) -> None:
    """Labels are random: a rule fitted on the rows that it decides would find some of them."""
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(300 // n_copies), n_copies)
    y_true = (random.random((300, 28)) < 0.1).astype(np.uint8)[groups]
    y_prob = random.random((300, 28))[groups]
    y_pred = cross_fitted_decisions(y_true, y_prob, groups, blend_rule(0), seed=0)
    # To predict always has precision 0.1 and recall 1: F1 2 · 0.1 / 1.1 = 0.18, and chance has
    # no more to offer.
    assert macro_f1(count_outcomes(y_true, y_pred)) < 0.2


def test_decisions_find_what_scores_separate_whatever_the_order_of_rows() -> None:
    y_true = truth(280)
    y_prob = np.where(y_true == 1, 0.3, 0.1) + np.random.default_rng(0).random((280, 28)) / 100
    y_pred = cross_fitted_decisions(y_true, y_prob, np.arange(280), blend_rule(0), seed=0)
    np.testing.assert_array_equal(y_pred, y_true)


def test_a_confirmation_is_written_with_the_command_that_applies_it(tmp_path: Path) -> None:
    values = {"loss.name": "focal", "loss.alpha": None, "train.learning_rate": 1e-05}
    confirmation = Confirmation("hpa", 5, 0.31, values, GAINED)
    confirmation.write(tmp_path / "search/best.yaml")
    written = yaml.safe_load((tmp_path / "search/best.yaml").read_text())
    assert written["better"] is True
    assert written["params"]["loss.alpha"] is None
    assert written["comparison"]["seeds"] == [7, 8]
    assert written["command"] == confirmation.command
    assert confirmation.command == (
        "dvc exp run -S loss.name=focal -S loss.alpha=null -S train.learning_rate=1e-05"
    )
    assert "ahead with 1 of 2 seeds: better" in as_text(confirmation)


@pytest.mark.parametrize("interval", [[-0.01, 0.1], [0.0, 0.1]])
def test_a_difference_whose_interval_contains_zero_is_not_called_better(
    interval: list[float],
) -> None:
    comparison = SeedComparison([7], [0.2], [0.3], 0.1, interval, 0.9)
    confirmation = Confirmation("hpa", 5, 0.3, {"loss.gamma": 1.0}, comparison)
    assert not confirmation.is_better
    assert "not shown to be better" in as_text(confirmation)


def test_current_parameters_that_stay_best_need_no_comparison() -> None:
    confirmation = Confirmation("hpa", 0, 0.3, {}, None)
    assert not confirmation.is_better
    assert "found nothing better" in as_text(confirmation)


def test_the_best_trial_is_compared_with_the_present_current_parameters(
    packed_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may change within the space while the best trial stays the same."""
    monkeypatch.chdir(make_workspace(tmp_path / "workspace", packed_world))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    is_val = (read_assignment(SPLIT_DIR, 0)["split"] == "val").to_numpy()
    y_true = hpa2018.LABELS.indicators(read_index(PACKED_DIR)["Target"][is_val])

    def compare(trial: optuna.Trial, study: Study) -> float:
        """Decide all wrongly with gamma 0, all correctly otherwise."""
        assert study.candidates
        side = trial.suggest_categorical("candidate", sorted(study.candidates))
        trial.suggest_int("train.seed", 0, 2**32 - 1)
        gamma = study.candidates[side].get("loss.gamma", study.params.loss.gamma)
        trial.set_user_attr("y_pred", encode_decisions(y_true if gamma else 1 - y_true))
        return 0.5

    def search(gamma: float, n_trials: int) -> Confirmation:
        space = {"loss": {"gamma": [0.0, 1.0, 3.0]}}
        more = {"search.space": space, "search.n_trials": n_trials, "loss.gamma": gamma}
        study = begin_study(small_params(**more))
        study.optuna.enqueue_trial({"loss.gamma": 3.0}, skip_if_exists=True)
        work(study, gamma_as_value)
        return confirm_best(study, lambda comparison: work(comparison, compare))

    first, again, other = search(0.0, 2), search(0.0, 2), search(1.0, 3)
    assert first.trial == other.trial == 1
    assert first == again
    assert first.comparison is not None
    assert first.comparison.current == [0.0, 0.0]
    assert first.comparison.difference > 0
    assert other.comparison is not None
    assert other.comparison.current == other.comparison.best
    assert other.comparison.difference == 0
