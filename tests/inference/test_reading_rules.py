"""Rules by which a model has images read, of every version of the project."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpa.config.params import load_params
from hpa.data.images.depth import DepthRule
from hpa.errors import UserError
from hpa.inference.reading_rules import reading_rules
from hpa.vocabulary.hpa2018 import CHANNELS
from support.paths import ROOT

SERVE = load_params(Path(ROOT / "params.yaml")).serve
LIMITS = {"red": [10.0, 900.5], "green": [0, 4095]}


def rules(made_with: dict[str, Any], **stated: Any) -> Any:
    return reading_rules(replace(SERVE, **stated), CHANNELS, made_with)


def test_a_model_reads_as_its_training_images_were_read() -> None:
    made_with = {
        "fetch.depth": "set_percentile",
        "fetch.percentiles": "1 99",
        "fetch.z": 3,
        "fetch.found_as": "red=2",
        "fetch.pixel_size_um": 0.2,
        "found.types": ["uint16"],
        "found.limits": LIMITS,
    }
    read = rules(made_with)
    limits = {"red": (10.0, 900.5), "green": (0, 4095)}
    assert read.depth == DepthRule("set_percentile", (1, 99), limits=limits)
    assert (read.z, read.found_as, read.pixel_size_um) == (3, "red=2", 0.2)
    assert read.known_types == ("uint16",)
    stated = rules(made_with, depth="bits", z="max", found_as="red=1", pixel_size_um=0.5)
    assert (stated.depth.name, stated.z) == ("bits", "max")
    assert (stated.found_as, stated.pixel_size_um) == ("red=1", 0.5)


@pytest.mark.parametrize(
    ("made_with", "depth", "types"),
    [
        ({"fetch.sixteen_bit_white": 4095}, DepthRule.of(4095), ("uint8", "uint16")),
        ({"fetch.sixteen_bit_white": None}, DepthRule("camera"), ("uint8",)),
        ({"fetch.source": "synthetic"}, DepthRule("camera"), ("uint8",)),
        ({}, DepthRule("camera"), ("uint8",)),
    ],
)
def test_models_of_earlier_versions_read_as_they_did_and_answer_where_they_refused(
    made_with: dict[str, Any], depth: DepthRule, types: tuple[str, ...]
) -> None:
    read = rules(made_with)
    assert (read.depth, read.known_types, read.z) == (depth, types, "refuse")


def test_a_set_of_eight_bits_has_no_percentiles_to_read_others_by() -> None:
    made_with = {"fetch.depth": "set_percentile", "found.types": ["uint8"]}
    assert rules(made_with).depth.name == "camera"
    with pytest.raises(UserError, match=r"serve\.depth cannot be set_percentile"):
        rules(made_with, depth="set_percentile")
    assert rules({"found.limits": LIMITS}, depth="set_percentile").depth.limits["red"][1] == 900.5


def test_places_of_channels_that_the_model_lacks_are_refused() -> None:
    with pytest.raises(UserError, match=r"model lacks(.|\n)*some of red(.|\n)*DAPI, gfp"):
        rules({}, found_as="red=1; gfp=2; DAPI=3")
