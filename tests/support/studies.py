"""Studies of fast trials that end in every way."""

import optuna

from hpa.config.params import Params
from hpa.search.confirmation import Confirmation, SeedComparison
from hpa.search.space import read_space, suggest, with_nulls
from hpa.search.study import Study, begin_study
from hpa.search.worker import work

LONG_NAMES = {
    "model": {
        "fourth_channel": ["red_blue_mean", "red_copy", "random"],
        "dropout": {"low": 0, "high": 0.5},
    },
    "loss": {
        "name": ["focal", "binary_cross_entropy", "asymmetric"],
        "alpha": [None, 0.25, "balanced"],
        "gamma_negative": {"low": 1, "high": 6},
        "label_smoothing": {"low": 0, "high": 0.2},
    },
    "train": {
        "learning_rate": {"low": 0.0003, "high": 0.01, "log": True},
        "warmup_fraction": {"low": 0, "high": 0.5},
        "oversampling": ["none", "square_root"],
        "oversampling_threshold": {"low": 0.01, "high": 0.1, "log": True},
    },
}


def mixed_trial(trial: optuna.Trial, study: Study) -> float:
    """Suggest, report two rounds, then be complete, pruned or failed, by the trial's number."""
    values = suggest(trial, read_space(study.params), study.params)
    trial.set_user_attr("run_id", f"of{trial.number}")
    for number in (1, 2):
        trial.report(0.1 + 0.01 * number + trial.number / 1000, number)
    if trial.number % 5 == 3:
        raise optuna.TrialPruned("behind")
    if trial.number % 5 == 4:
        trial.set_user_attr("failure", "ValueError: the loss <b>diverged</b> " + "x" * 300)
        raise ValueError("no luck")
    rate = values.get("train.learning_rate", 0.001)
    return 0.2 + (trial.number * 37 % 11) / 100 - float(rate)


def mixed_study(params: Params) -> Study:
    """A study whose trials are complete, pruned and failed."""
    study = begin_study(params)
    work(study, mixed_trial)
    return study


def confirmed(study: Study) -> Confirmation:
    """The confirmation of a study's best trial, as if two trainings each had been compared."""
    best, flat = study.optuna.best_trial, study.params.flat()
    suggested = with_nulls(best.params, study.params)
    values = {key: value for key, value in suggested.items() if value != flat[key]}
    found = SeedComparison([7, 8], [0.2, 0.3], [0.4, 0.2], 0.05, [-0.01, 0.09], 0.93)
    return Confirmation(
        study.name, best.number, float(best.values[0]), values, found if values else None
    )
