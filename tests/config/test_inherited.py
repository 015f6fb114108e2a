"""A stage inherits the parameters of its inputs, and refuses those of other data."""

import pytest

from hpa.config.inherited import inherited_params, require_same_data
from hpa.config.params import load_params
from hpa.errors import UserError
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")


def test_what_made_the_inputs_replaces_what_params_yaml_says_now() -> None:
    params = inherited_params(PARAMS, {"loss.gamma": 1.0, "score.augmentation": "dihedral"})
    assert (params.loss.gamma, params.score.augmentation) == (1.0, "dihedral")
    assert params.threshold == PARAMS.threshold


def test_keys_of_another_version_are_ignored() -> None:
    assert inherited_params(PARAMS, {"augment.colour": 1, "train.seed": 7}) == PARAMS


def test_parameters_of_other_data_are_refused_with_both_values_and_the_way_out() -> None:
    made_with = {"fetch.source": "kaggle", "pack.image_size": 256, "split.seed": PARAMS.split.seed}
    with pytest.raises(UserError) as refused:
        inherited_params(PARAMS, made_with)
    said = str(refused.value)
    assert "fetch.source: 'synthetic' in the parameters, 'kaggle' in the data" in said
    assert "pack.image_size: 96 in the parameters, 256 in the data" in said
    assert "split.seed" not in said
    assert "dvc repro" in said


def test_parameters_of_the_network_are_no_matter_of_the_data() -> None:
    require_same_data(PARAMS, {"loss.gamma": 9.0, "train.backend": "jax"})
