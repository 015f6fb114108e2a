"""Guesses of channels and labels from names."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from hpa.config.params import load_params
from hpa.data.inspection.channel_rules import (
    METADATA,
    NAMES,
    NONE,
    NUMBERS,
    POSITION,
    SINGLE,
    channel_rule,
)
from hpa.data.inspection.guesses import guess_channels, without_stain
from hpa.data.inspection.label_counts import count_labels
from hpa.vocabulary.hpa2018 import CHANNELS
from support.paths import ROOT

FETCH = load_params(ROOT / "params.yaml").fetch


def test_names_tell_nucleus_protein_and_colors() -> None:
    guess = guess_channels(["Hoechst 33342", "TxRed", "Alexa 488"])
    assert guess is not None
    channels, differ = guess
    assert [(each.name, each.role, each.color) for each in channels.channels] == [
        ("Hoechst-33342", "nucleus", "blue"),
        ("TxRed", "other", "red"),
        ("Alexa-488", "protein", "green"),
    ]
    assert differ == {"Hoechst-33342": "Hoechst 33342", "Alexa-488": "Alexa 488"}


def test_microtubules_are_red_the_reticulum_yellow_and_no_marker_is_a_reticulum() -> None:
    for names, colors in (
        (["DAPI", "AF488", "Microtubules", "ER"], ["blue", "green", "red", "yellow"]),
        (["Hoechst", "FITC", "tubulin", "Marker"], ["blue", "green", "red", "yellow"]),
        (["405", "Transferrin-GFP", "DNAJB1"], ["blue", "green", "red"]),
    ):
        guess = guess_channels(names)
        assert guess is not None
        assert [each.color for each in guess[0].channels] == colors
        roles = [each.role for each in guess[0].channels]
        assert roles[:2] == ["nucleus", "protein"]


def test_transmitted_light_is_left_out_unless_there_is_nothing_else() -> None:
    unstained = ["Bright field", "BF", "TL DIC", "Phase contrast", "transmitted", "T-PMT", "ESID"]
    assert without_stain(["Transferrin", "TRITC", "Dictyo", *unstained]) == tuple(unstained)
    assert without_stain(unstained) == ()


@pytest.mark.parametrize("names", [[], ["a"] * 2, [f"c{n}" for n in range(9)]])
def test_no_channels_twins_and_nine_are_not_guessed(names: list[str]) -> None:
    assert guess_channels(names) is None


@pytest.mark.parametrize(
    ("files", "by", "channels", "found_as"),
    [
        (["a_DAPI.tif", "a_GFP.tif", "b_DAPI.tif", "b_GFP.tif"], NAMES, "DAPI GFP", None),
        (["C1-a (2).tif", "C2-a (2).tif"], NUMBERS, "C1 C2", "C1=C1; C2=C2"),
        (["x_ch00.tif", "x_ch01.tif"], NUMBERS, "ch00 ch01", "ch00=ch00; ch01=ch01"),
        (["x_w1DAPI.TIF", "x_w2GFP.TIF"], NUMBERS, "DAPI GFP", "DAPI=w1; GFP=w2"),
        (["1_red.png", "1_green.png", "1_blue.png", "1_yellow.png"], NAMES, "preset", None),
        (["notes.txt"], NONE, "preset", None),
    ],
)
def test_channels_are_found_by_what_the_file_names_hold(
    files: list[str], by: str, channels: str, found_as: str | None
) -> None:
    rule = channel_rule([], [Path(each) for each in files], FETCH, is_stated=False)
    assert (rule.by, rule.found_as) == (by, found_as)
    expected = CHANNELS.names if channels == "preset" else tuple(channels.split())
    assert rule.channels.names == expected


@pytest.mark.parametrize(
    ("names", "by", "channels"),
    [
        (["nuclei", "GFP"], METADATA, ("nuclei", "GFP")),
        (None, POSITION, ("C1", "C2")),
    ],
)
def test_channels_of_a_file_are_found_by_its_metadata_or_by_position(
    tmp_path: Path, names: list[str] | None, by: str, channels: tuple[str, ...]
) -> None:
    path = tmp_path / "plate7 (3).ome.tif"
    metadata = {"axes": "CYX"} | ({"Channel": {"Name": names}} if names else {})
    tifffile.imwrite(path, np.zeros((2, 8, 8), np.uint8), metadata=metadata)
    rule = channel_rule([], [tmp_path / "damaged.tif", path], FETCH, is_stated=False)
    assert (rule.by, rule.channels.names) == (by, channels)


@pytest.mark.parametrize(
    ("labels", "by", "channels"),
    [
        (["x_DAPI.tif", "x_GFP.tif"], METADATA, ("DAPI", "GFP")),
        (["x_z1.tif", "x_z2.tif"], SINGLE, ("protein",)),
    ],
)
def test_slices_are_channels_if_their_labels_are_stains(
    tmp_path: Path, labels: list[str], by: str, channels: tuple[str, ...]
) -> None:
    path, metadata = tmp_path / "plate 7.tif", {"axes": "ZYX", "Labels": labels}
    tifffile.imwrite(path, np.zeros((2, 8, 8), np.uint8), imagej=True, metadata=metadata)
    rule = channel_rule([], [path], FETCH, is_stated=False)
    assert (rule.by, rule.channels.names) == (by, channels)


def test_a_file_of_one_plane_shows_the_protein(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    rule = channel_rule([], [tmp_path / "a.tif"], FETCH, is_stated=False)
    assert (rule.by, rule.channels.names) == (SINGLE, ("protein",))


def test_a_few_of_the_competitions_names_are_labels_of_their_own() -> None:
    counts = count_labels(["Cytosol", "Cytosol; Nucleoli", "", "cytosol"])
    assert (counts.setting, counts.n_empty) == ("from_table", 1)
    assert counts.counts == [("Cytosol", 3), ("Nucleoli", 1)]


def test_numbers_are_the_competitions() -> None:
    assert count_labels(["25 0", "0"]).setting == "hpa2018"


def test_todays_names_of_the_atlas_are_read_through_its_map() -> None:
    counts = count_labels(["Nucleoplasm", "Cell Junctions", "Centriolar satellite"])
    assert (counts.setting, counts.label_map) == ("hpa2018", "atlas")


def test_own_names_come_from_the_table_and_misspelt_ones_are_named() -> None:
    counts = count_labels(["My thing"] * 12 + ["My thingg", "Golgi aparatus"])
    assert counts.setting == "from_table"
    assert counts.unknown == [
        ("My thingg", 1, "did you mean My thing?"),
        ("Golgi aparatus", 1, "did you mean Golgi apparatus?"),
    ]


def test_numbers_of_own_labels_are_read_by_no_setting() -> None:
    counts = count_labels(["77", "78"])
    assert counts.setting is None
    assert [word for word, _, _ in counts.unknown] == ["77", "78"]
