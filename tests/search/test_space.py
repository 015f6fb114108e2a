from typing import Any

import optuna
import pytest

from hpa.config.overlays import merged_params
from hpa.config.params import Params, load_params
from hpa.errors import UserError
from hpa.search.space import current, read_space, suggest, trial_params, with_nulls
from support.paths import ROOT


def params(**overrides: Any) -> Params:
    return load_params(ROOT / "params.yaml", overrides)


def space_of(section: str, **keys: Any) -> dict[str, Any]:
    return {"search.space": {section: keys}}


@pytest.mark.parametrize("overlay", [None, "params/hpa2018.yaml"])
def test_the_repository_s_spaces_contain_the_current_parameters(overlay: str | None) -> None:
    whole = merged_params(ROOT / "params.yaml", ROOT / overlay)[1] if overlay else params()
    space = read_space(whole)
    values = current(space, whole)
    assert {"loss.gamma", "loss.alpha", "train.learning_rate"} <= values.keys()
    assert "loss.gamma_negative" not in values  # of another loss
    assert trial_params(whole, values).train.n_steps == whole.search.trial_steps


def test_a_parameter_whose_condition_does_not_hold_is_not_suggested() -> None:
    whole = params(**{"loss.alpha": 0.25})
    space = read_space(whole)
    for name, suggested in (("focal", "loss.gamma"), ("asymmetric", "loss.gamma_negative")):
        trial = optuna.create_study().ask()
        trial.study.enqueue_trial({"loss.name": name})
        values = suggest(trial.study.ask(), space, whole)
        assert values["loss.name"] == name
        assert [key for key in values if key.startswith("loss.gamma")] == [suggested]
        assert ("loss.alpha" in trial.study.trials[-1].params) == (name == "focal")
        trial_params(whole, values)  # does not raise
    assert with_nulls({"loss.name": "asymmetric"}, whole)["loss.alpha"] is None


def test_a_hundred_trials_of_the_default_space_are_valid() -> None:
    whole = params()
    space = read_space(whole)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(100):
        trial_params(whole, suggest(study.ask(), space, whole))


@pytest.mark.parametrize(
    ("stated", "match"),
    [
        (space_of("loss", gama=[1, 2]), r"search\.space\.loss\.gama: .* did you mean loss\.gamma"),
        (space_of("train", seed=[1, 7]), r"search\.space\.train\.seed: not a parameter"),
        (space_of("fetch", seed=[1, 7]), r"search\.space\.fetch\.seed: not a parameter"),
        (space_of("loss", gamma={"low": 0, "high": 12}), "number from 0 to 10, received 12"),
        (space_of("loss", gamma={"low": 3, "high": 4}), "that contains the current value 2.0"),
        (space_of("loss", gamma={"low": 4, "high": 1}), "expected low less than high"),
        (space_of("loss", gamma={"low": 0, "high": 4, "log": True}), "low above 0 if log is true"),
        (space_of("loss", gamma={"low": 0}), "expected a list, or low, high"),
        (space_of("loss", gamma=2), "expected a list, or low, high"),
        (space_of("loss", name=["focal", "hinge"]), "received 'hinge'"),
        (space_of("loss", name=["asymmetric"]), "that contains the current value 'focal'"),
        ({"search.space": {"loss": 5}}, r"search\.space\.loss: not a parameter"),
        ({"search.space": {}}, "an empty space"),
    ],
)
def test_a_wrong_space_is_refused_with_key_and_value(stated: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        read_space(params(**stated))


def test_one_error_lists_all_problems_of_a_space() -> None:
    with pytest.raises(UserError) as caught:
        read_space(params(**space_of("loss", gamma=2, gama=3, name=[])))
    assert str(caught.value).count("search.space.loss.") == 3


def test_a_trial_validates_trial_rounds_times() -> None:
    whole = params(**{"search.trial_steps": 10, "search.trial_rounds": 4})
    assert trial_params(whole, {}).train.validate_every == 3  # after 3, 6, 9 and 10 steps
    whole = params(**{"search.trial_steps": None})
    assert trial_params(whole, {}).train.n_steps == whole.train.n_steps
