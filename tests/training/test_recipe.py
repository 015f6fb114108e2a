"""Values by label: names and numbers of the data, at the door of a training."""

from dataclasses import replace

import pytest

from hpa.config.params import Params, load_params
from hpa.errors import UserError
from hpa.training.recipe import require_known_labels
from hpa.vocabulary.labels import Label, Labels
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")
OWN = Labels((Label(3, "Cytosol"), Label(7, "Plasma membrane")))


def stated(alpha: str, repeats: str) -> Params:
    return replace(
        PARAMS,
        loss=replace(PARAMS.loss, alpha=alpha),
        train=replace(PARAMS.train, oversampling="stated", repeats=repeats),
    )


def test_names_and_numbers_of_the_data_are_accepted() -> None:
    require_known_labels(stated("balanced", "7x2; cytosol x3"), OWN)
    require_known_labels(PARAMS, OWN)


def test_all_unknown_labels_are_refused_in_one_error_beside_those_that_exist() -> None:
    with pytest.raises(UserError) as caught:
        require_known_labels(stated("0x0.3; Cytosol x0.4", "Golgi apparatus x2; 27x4"), OWN)
    message = str(caught.value)
    assert "loss.alpha: unknown labels '0'" in message
    assert "train.repeats: unknown labels 'Golgi apparatus', '27'" in message
    assert "3 Cytosol, 7 Plasma membrane" in message


def test_a_label_by_its_name_and_again_by_its_number_is_refused() -> None:
    with pytest.raises(UserError, match="a label twice in '3x2; Cytosol x3'"):
        require_known_labels(stated("balanced", "3x2; Cytosol x3"), OWN)
