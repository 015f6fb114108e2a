"""Patterns of the names on a plate: wells and channels of microscopes' programs."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hpa.data.images.file_names import split_name
from hpa.data.sources.plate_maps import normal_well
from hpa.data.sources.well_patterns import suggested_pattern
from hpa.vocabulary.channels import NUCLEUS, PROTEIN, Channel, Channels

WELLS = {"A01": "A1", "B02": "B2", "C11": "C11"}
SPELT = {
    "padded": WELLS,
    "short": {"A1": "A1", "B2": "B2", "C11": "C11"},
    "row and column": {"r01c01": "A1", "r02c02": "B2", "r03c11": "C11"},
}


def names_of(template: str, wells: dict[str, str], words: tuple[str, ...]) -> list[str]:
    places = product(wells, (1, 2, 3), words)
    return [template.format(well=well, n=n, word=word) for well, n, word in places]


def channels_of(words: tuple[str, ...]) -> Channels:
    roles = (PROTEIN, NUCLEUS)
    return Channels(tuple(Channel(w, r, "green") for w, r in zip(words, roles, strict=True)))


@pytest.mark.parametrize("wells", SPELT.values(), ids=SPELT)
@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("plate7_{well}_f{n}_{word}.tif", ("GFP", "DAPI")),
        ("{well}_s{n}_z3_{word}.png", ("488", "405")),
        ("P2_{well}_{n:03}_{word}.tif", ("GFP", "DAPI")),
        ("EXP12_{well}_{word}_f{n}.tif", ("GFP", "DAPI")),
        ("{well}_f{n}_{word}_z1.tif", ("GFP", "DAPI")),
        ("{word}_plate7_{well}_f{n}.tif", ("GFP", "DAPI")),
        ("{well}-f{n}-{word}.tif", ("GFP", "DAPI")),
        ("plate7 {well} {n} {word}.tif", ("GFP", "DAPI")),
        ("{word}-plate7_{well}_f{n}.tif", ("C1", "C2")),
        ("MAX_{word}-{well}_f{n}.tif", ("C1", "C2")),
        ("plate7_{well}_f{n}_{word}.tif", ("ch00", "ch01")),
        ("{well}f{n:02}p01-{word}sk1fk1fl1.tiff", ("ch1", "ch2")),
        ("MFG_14020_{well}f{n:02}{word}.TIF", ("d0", "d1")),
        ("plate7_{well}_s{n}_{word}.TIF", ("w1", "w2")),
        ("plate7_{well}_s{n}_{word}4CF3A1B2-77AB-4321-9A0B-1234567890AB.tif", ("w1", "w2")),
    ],
)  # fmt: skip
def test_well_and_channel_are_found_in_the_names_of_files_of_one_channel(
    template: str, words: tuple[str, ...], wells: dict[str, str]
) -> None:
    names = names_of(template, wells, words)
    pattern = suggested_pattern(names)
    assert pattern is not None
    channels = channels_of(words)
    found = [split_name(Path(name), channels, pattern=pattern) for name in names]
    assert [each and each[1] for each in found] == [*words] * 9
    assert len(set(found)) == len(names)
    assert len({each[0] for each in found if each}) == 9
    matches = [re.fullmatch(pattern, Path(name).stem) for name in names]
    read = {normal_well(match["well"]) for match in matches if match}
    assert read == set(wells.values())


@pytest.mark.parametrize("wells", SPELT.values(), ids=SPELT)
@pytest.mark.parametrize(
    "template",
    [
        "plate7_{well}_f{n}.ome.tif",
        "{well}_{n}.tif",
        "P2_{well}_field {n}.ome.tif",
        "{well}f{n:02}.tif",
        "plate7_{well}_f{n}_z1.tif",
    ],
)
def test_numbers_of_fields_are_no_channels(template: str, wells: dict[str, str]) -> None:
    pattern = suggested_pattern(names_of(template, wells, ("",)))
    assert pattern is not None
    assert "(?P<channel>" not in pattern


def test_files_of_several_channels_need_no_channel_in_their_names(tmp_path: Path) -> None:
    names = names_of("{well}_{word}_{n}.ome.tif", WELLS, ("left", "right"))
    assert "(?P<channel>" in str(suggested_pattern(names))
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    for name in names:
        tifffile.imwrite(tmp_path / name, np.zeros((2, 8, 8), np.uint8), metadata=metadata)
    pattern = suggested_pattern(sorted(tmp_path.iterdir()))
    assert pattern == r"(?P<name>.*?(?P<well>[A-P]\d{1,2}).*)"


def test_treatments_of_wells_are_no_channels() -> None:
    names = [
        f"{well}_{n}_{'drug' if well < 'B' else 'control'}.tif" for well in WELLS for n in "12"
    ]
    assert "(?P<channel>" not in str(suggested_pattern(names))


def test_a_pattern_is_suggested_only_where_wells_are() -> None:
    assert suggested_pattern(["x_1.tif", "y_2.tif"]) is None
    assert suggested_pattern(["C1-a.tif", "C2-a.tif"]) is None  # channels that ImageJ numbers
    assert suggested_pattern([]) is None
    assert suggested_pattern(["p_A1.ome.tif", "p_B1.ome.tif"]) == (
        r"(?P<name>.*?(?P<well>[A-P]\d{1,2}).*)"
    )
