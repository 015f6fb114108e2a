"""File names of any channels: capitals, separators, and names that end alike."""

from pathlib import Path

import pytest

from hpa.data.images.file_names import (
    OTHER_SUFFIX,
    THUMBNAIL,
    TWO_WORDS,
    found_as_advice,
    list_passed_over,
    no_channel,
    reason_to_pass,
    split_name,
)
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS as HPA_2018

CHANNELS = Channels(
    (
        Channel("red", "other", "red"),
        Channel("infra-red", "other", "white"),
        Channel("GFP-1", "protein", "green"),
        Channel("c.1", "other", "cyan"),
        Channel("DAPI", "nucleus", "blue"),
        Channel("1", "other", "#808080"),
    )
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x_red.png", ("x", "red")),
        ("x_infra-red.png", ("x", "infra-red")),
        ("x-infra-red.png", ("x", "infra-red")),
        ("x INFRA-RED.tif", ("x", "infra-red")),
        ("x_infra_red.png", ("x_infra", "red")),  # no name of a channel holds an underscore
        ("infra-red.png", ("infra", "red")),
        ("red_red.png", ("red", "red")),
        ("x_gfp-1.TIFF", ("x", "GFP-1")),
        ("x_GFP_1.png", ("x_GFP", "1")),
        ("x-1-1.png", ("x-1", "1")),
        ("x_c.1.png", ("x", "c.1")),
        ("x_cx1.png", None),  # a dot is a dot
        ("x_dapi.jpg", ("x", "DAPI")),
        ("plate 1_dapi.jpg", ("plate 1", "DAPI")),
        ("x_green.png", None),
        ("DAPI.png", None),
    ],
)
def test_the_longest_channel_that_a_name_ends_in_is_read(
    name: str, expected: tuple[str, str] | None
) -> None:
    assert split_name(Path("plate") / name, CHANNELS) == expected


def test_the_reason_to_pass_a_file_over_names_the_channels() -> None:
    path = Path("x_green.png")
    assert reason_to_pass(path, CHANNELS) == no_channel(CHANNELS)
    assert no_channel(Channels((Channel("c1", "protein", "white"),))) == (
        "the name does not end in _c1"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plate7 (3).ome.tif", ("plate7 (3)", None)),
        ("plate7.OME.TIFF", ("plate7", None)),
        ("a.b.tif", ("a.b", None)),
        ("x.czi", ("x", None)),
        ("x.nd2", ("x", None)),
        ("x.lsm", ("x", None)),
        ("x.stk", ("x", None)),
        ("x.lif", ("x", None)),
        ("x.lif#3", ("x#3", None)),
        ("x_green.lif#12", ("x#12", "green")),
        ("x.zarr", ("x", None)),
        ("x.ome.zarr", ("x", None)),
        ("x.ome.zarr.zip", ("x", None)),
        ("x.ozx", ("x", None)),
        ("x_green.ome.tif", ("x", "green")),
        ("plate_C1.ome.tif", ("plate_C1", None)),  # a well
        ("A1-site2.tif", ("A1-site2", None)),
        ("C1-site2.ome.tif", ("C1-site2", None)),
        ("x.png", None),
        ("x.jpg", None),
        ("x.png#2", None),
        ("x.lif#0", None),
        ("x.lif#", None),
        (".ome.tif", None),
        ("C1-plate.tif", None),
        ("MAX_C1-plate.tif", None),
        ("x_ch00.tif", None),
        ("x_w1DAPI_s2.TIF", None),
    ],
)
def test_a_format_of_several_channels_is_an_image_named_by_its_stem(
    name: str, expected: tuple[str, str | None] | None
) -> None:
    assert split_name(Path("plate") / name, HPA_2018) == expected


def test_a_picture_of_any_name_is_an_image_of_one_channel() -> None:
    one = Channels((Channel("gfp", "protein", "green"),))
    assert split_name(Path("x.png"), one) == ("x", None)
    assert split_name(Path("x_GFP.png"), one) == ("x", "gfp")


WORDS = "red=C3; green = C1 ; blue=ch00; yellow=w2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C1-plate.tif", ("plate", "green")),
        ("c1-plate.tif", ("plate", "green")),
        ("C3-plate7 (3).tif", ("plate7 (3)", "red")),
        ("MAX_C3-plate7.tif", ("MAX-plate7", "red")),
        ("plate_C1.tif", ("plate", "green")),
        ("plate C1 b.jpg", ("plate b", "green")),
        ("plate_ch00.tif", ("plate", "blue")),
        ("plate_ch00_SV.tif", ("plate_SV", "blue")),
        ("x_w2_s2.tif", ("x_s2", "yellow")),
        ("x_w2GFP.TIF", ("x", "yellow")),
        ("x_w2Conf 488_s1.TIF", ("x_s1", "yellow")),
        ("x_w21.TIF", None),
        ("x_C10.png", None),
        ("xC1.png", None),
        ("C1.png", None),
        ("x_red.png", ("x", "red")),  # names of channels stay
        ("x.ome.tif", ("x", None)),
    ],
)
def test_words_of_found_as_stand_for_channels_anywhere_in_a_name(
    name: str, expected: tuple[str, str | None] | None
) -> None:
    assert split_name(Path(name), HPA_2018, found_as=WORDS) == expected


def test_a_name_that_ends_in_a_channel_is_that_channel_unless_the_word_is_given_to_another() -> (
    None
):
    path = Path("C1-tagged_red.png")
    assert split_name(path, HPA_2018, found_as="green=C1") == ("C1-tagged", "red")
    assert split_name(path, HPA_2018, found_as="green=red; red=C2") == ("C1-tagged", "green")


def test_a_stain_s_name_after_the_number_of_metamorph_is_a_word_too() -> None:
    stated = "green=GFP; blue=DAPI 405"
    assert split_name(Path("x_w2GFP_s1.TIF"), HPA_2018, found_as=stated) == ("x_s1", "green")
    assert split_name(Path("x_w1DAPI 405.TIF"), HPA_2018, found_as=stated) == ("x", "blue")
    assert split_name(Path("x_EGFP.png"), HPA_2018, found_as=stated) is None


@pytest.mark.parametrize("number", ["539ECBE5-BDE2-4C5F-A14B-0A1B9FAC0917", "{}"])
def test_a_file_s_own_number_after_that_of_the_channel_is_no_part_of_the_name(number: str) -> None:
    number = number.format("C4FBEEF7-F77C-4892-86F5-72D0160D4FB2")
    stated, names = "green=w1; blue=w2", ("B02_s1_w1", "B02_s1_w2")
    for name, channel in zip(names, ("green", "blue"), strict=True):
        path = Path(f"{name}{number}.tif")
        assert split_name(path, HPA_2018, found_as=stated) == ("B02_s1", channel)
    unread = [Path(f"{name}{number}.tif") for name in names]
    assert '"CHANNEL=w1; CHANNEL=w2"' in found_as_advice(unread)
    assert split_name(Path("B02_w12345678.tif"), HPA_2018, found_as=stated) != ("B02", "green")


def test_a_number_of_found_as_is_a_place_in_files_but_no_word_in_names() -> None:
    assert split_name(Path("plate_3.tif"), HPA_2018, found_as="red=3") == ("plate_3", None)


def test_doubtful_words_are_passed_over() -> None:
    reasons = {
        "C1-plate_C3.tif": TWO_WORDS,
        "x_w2_thumb1A2B.tif": THUMBNAIL,
        "x_w2GFP_thumb.tif": THUMBNAIL,
        "x_w2.bmp": OTHER_SUFFIX,
    }
    for name, reason in reasons.items():
        assert reason_to_pass(Path(name), HPA_2018, found_as=WORDS) == reason


def test_numbers_of_channels_without_found_as_are_one_line_with_what_to_set() -> None:
    names = ["x_ch01.png", "x_ch00.png", "x_ch10.tif", "notes_green (1).png"]
    reasons = {Path(name): str(reason_to_pass(Path(name), HPA_2018)) for name in names}
    [line] = list_passed_over(reasons)
    assert no_channel(HPA_2018) in line
    assert "to read ch00, ch01, ch10 as channels, set fetch.found_as or " in line
    assert line.count("CHANNEL=ch") == 3
    [other] = list_passed_over({Path(names[-1]): no_channel(HPA_2018)})
    assert "found_as" not in other


PATTERN = r"(?P<name>.+)_w(?P<channel>\d+)"


@pytest.mark.parametrize(
    ("name", "pattern", "found_as", "expected"),
    [
        ("p_w1.tif", PATTERN, "green=1", ("p", "green")),
        ("p_w01.tif", PATTERN, "green=1", ("p", "green")),
        ("p_w2.tif", PATTERN, "green=1", None),
        ("p_w2.tif", PATTERN, None, None),
        ("p_w2_thumb.tif", PATTERN, "green=2", None),
        ("p_green.png", PATTERN, "green=2", None),  # a pattern replaces the other rules
        ("p_w1.tif", PATTERN + r"\.tif", "green=1", ("p", "green")),
        ("p.RED.png", r"(?P<name>.+)\.(?P<channel>\w+)", None, ("p", "red")),
        ("p.gfp.png", r"(?P<name>.+)\.(?P<channel>\w+)", "green=GFP", ("p", "green")),
        ("B02_s3_red.png", r"(?P<well>\w\d+)_s(?P<field>\d)_(?P<channel>\w+)", None,
         ("B02_3", "red")),
        ("p_B02_red.png", r"(?P<name>.+_(?P<well>\w\d+))_(?P<channel>\w+)", None,
         ("p_B02", "red")),
        ("p.ome.tif", r"(?P<name>.+)", None, ("p", None)),
        ("p.lif#2", r"(?P<name>.+)", None, ("p#2", None)),
        ("C1-a.tif", r"(?P<name>.+)", None, ("C1-a", None)),
        ("p.txt", r"(?P<name>.+)", None, None),
        (".p.tif", r"(?P<name>.+)", None, None),
    ],
)  # fmt: skip
def test_a_pattern_of_one_s_own_names_image_and_channel(
    name: str, pattern: str, found_as: str | None, expected: tuple[str, str | None] | None
) -> None:
    found = split_name(Path(name), HPA_2018, pattern=pattern, found_as=found_as)
    assert found == expected


def test_a_channel_that_the_pattern_finds_and_nothing_names_is_the_reason() -> None:
    reason = reason_to_pass(Path("p_w2.tif"), HPA_2018, pattern=PATTERN, found_as="green=1")
    assert reason == "the pattern finds the channel 2, which found_as does not name"
    reason = reason_to_pass(Path("p.tif"), HPA_2018, pattern=PATTERN)
    assert reason == f"the name does not match the pattern {PATTERN}"
