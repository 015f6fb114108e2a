"""Parameters without effect beside the others."""

import pytest

from hpa.config.effects import NO_RESULT, ONLY_IF, UNLESS, has_effect
from hpa.config.params import KEYS, changed_params, load_params
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")


def test_every_rule_names_parameters_and_allowed_values() -> None:
    others = [(other, value) for other, values in ONLY_IF.values() for value in values]
    for other, value in [*others, *UNLESS.values()]:
        needed = {"stated": {"train.repeats": "27x8"}, "local": {"fetch.path": "own/mine"}}
        needed["hpa"] = {"fetch.path": "own/mine.csv"}
        needed["several"] = {"fetch.sources": [{"name": "a", "source": "kaggle"}]}
        changed_params(PARAMS, {other: value, **needed.get(value, {})})
    assert {*ONLY_IF, *UNLESS, *NO_RESULT} <= set(KEYS)
    assert len({*ONLY_IF, *UNLESS, *NO_RESULT}) == len(ONLY_IF) + len(UNLESS) + len(NO_RESULT)


@pytest.mark.parametrize(
    ("key", "other", "with_effect", "without"),
    [
        ("loss.gamma", "loss.name", "focal", "binary_cross_entropy"),
        ("loss.margin", "loss.name", "asymmetric", "focal"),
        ("train.n_cycles", "train.schedule", "cycles", "cosine"),
        ("fetch.base_url", "fetch.source", "hpa", "synthetic"),
        ("fetch.n_images", "fetch.source", "synthetic", "kaggle"),
        ("model.fourth_channel", "model.weights", "imagenet", "none"),
        ("threshold.fixed", "threshold.rule", "fixed", "selected"),
    ],
)
def test_a_parameter_has_an_effect_beside_some_values_of_another(
    key: str, other: str, with_effect: str, without: str
) -> None:
    values = PARAMS.flat()
    assert has_effect(key, values | {other: with_effect})
    assert not has_effect(key, values | {other: without})
    assert has_effect(other, values)
    assert not has_effect("score.batch_size", values)


def test_of_several_sources_a_parameter_acts_by_those_that_do_not_state_it() -> None:
    sources = [
        {"name": "competition", "source": "kaggle"},
        {"name": "atlas", "source": "hpa", "path": "own/a.csv", "skip_absent": True},
    ]
    values = PARAMS.flat() | {"fetch.source": "several", "fetch.sources": sources}
    effective = {key for key in KEYS if key.startswith("fetch.") and has_effect(key, values)}
    assert effective == {
        f"fetch.{key}"
        for key in (
            "source", "sources", "labels", "label_map", "channels", "competition", "base_url",
            "missing_channels", "depth", "percentiles", "pixel_size_um",
        )
    }  # fmt: skip
