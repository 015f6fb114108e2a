import numpy as np
import pytest

from hpa.data.images.channel_choice import choose, is_by_position
from hpa.data.images.opened import Description, InvalidImageError
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS

STAINS = Channels(
    (
        Channel("GFP", "protein", "green", "the protein"),
        Channel("DAPI", "nucleus", "blue", "nucleus"),
    )
)


def held(*names: str) -> Description:
    return Description("OME-TIFF", 8, 8, np.dtype(np.uint16), channel_names=names)


def test_a_file_of_one_channel_is_that_channel_whatever_its_name() -> None:
    assert choose(held("anything"), STAINS, None, ["GFP"]) == {"GFP": 0}
    assert choose(held(""), STAINS, "GFP=7", ["GFP"]) == {"GFP": 0}


def test_names_count_in_any_capitals_and_blanks() -> None:
    assert choose(held("TRITC", " dapi", "Gfp "), STAINS, None) == {"GFP": 2, "DAPI": 1}
    spoken = Channels((Channel("a-b", "protein", "green"),))
    assert choose(held("A-B", "a b"), spoken, None) == {"a-b": 0}


def test_stated_places_are_names_or_numbers_from_one() -> None:
    names = held("Channel:0:0", "EGFP", "Hoechst  33342")
    found_as = "GFP = egfp; DAPI=hoechst 33342"
    assert choose(names, STAINS, found_as) == {"GFP": 1, "DAPI": 2}
    assert choose(names, STAINS, "GFP=3; DAPI=1") == {"GFP": 2, "DAPI": 0}
    assert choose(held("GFP", "DAPI", "x"), STAINS, "DAPI=3") == {"GFP": 0, "DAPI": 2}


@pytest.mark.parametrize(
    ("names", "found_as", "said"),
    [
        (("a", "b"), "GFP=3", r"2 channels, but found_as says GFP=3: numbers are 1 to 2"),
        (("a", "b"), "GFP=0", r"numbers are 1 to 2"),
        (("EGFP", "b"), "GFP=EGPF", r"no channel named EGPF.*it has EGFP, b; did you mean EGFP\?"),
        (("", "", ""), "GFP=EGFP", r"no channel named EGFP, .*; it has 3 without names|without"),
        (("GFP", "gfp", "x"), None, r"2 channels named GFP \(GFP, gfp, x\): choose one by its n"),
        (("x", "x", "y"), "GFP=x", r"found_as: GFP=1 or GFP=2"),
        (
            ("EGFP", "Hoechst", "Cy5"),
            None,
            r"3 channels \(EGFP, Hoechst, Cy5\), none named GFP or DAPI; did you mean EGFP\?; say "
            r"where each is, .*number from 1: found_as: GFP=…; DAPI=…",
        ),
        (("EGFP", "Hoechst"), None, "none named GFP or DAPI"),
        (("EGFP", ""), None, "number 2 without a name"),
        (("", "", ""), None, r"3 channels \(without names\), none named"),
        (("C1", "C2", "C3"), None, r"3 channels \(C1, C2, C3\), none named"),
    ],
)
def test_what_is_not_there_or_there_twice_is_refused_with_what_to_set(
    names: tuple[str, ...], found_as: str | None, said: str
) -> None:
    with pytest.raises(InvalidImageError, match=said):
        choose(held(*names), STAINS, found_as)


@pytest.mark.parametrize(
    "names",
    [("", ""), ("Channel:0:0", "Channel:0:1"), ("C=0", "C=1"), ("ch 1", "ch 2"), ("1", "2"),
     ("ch00", "ch01"), ("w1", "w2"), ("Channel_1", "Channel_2"), ("", "C2")],
)  # fmt: skip
def test_channels_without_real_names_count_in_order(names: tuple[str, str]) -> None:
    assert is_by_position(held(*names), STAINS, None)
    assert choose(held(*names), STAINS, None) == {"GFP": 0, "DAPI": 1}
    assert not is_by_position(held(*names), STAINS, "GFP=1")
    assert not is_by_position(held(*names), CHANNELS, None)


@pytest.mark.parametrize("names", [("GFP", ""), ("CFP", "YFP"), ("DIC", "BF"), ("cy3", "cy5")])
def test_real_names_never_count_in_order(names: tuple[str, str]) -> None:
    assert not is_by_position(held(*names), STAINS, None)


def test_a_file_that_has_some_of_the_channels_lacks_the_others() -> None:
    assert choose(held("GFP", "Cy5"), STAINS, None) == {"GFP": 0, "DAPI": None}
    assert choose(held("GFP", "Cy5"), STAINS, None, ["GFP"]) == {"GFP": 0}
    assert choose(held("EGFP", "Cy5"), STAINS, "GFP=1") == {"GFP": 0, "DAPI": None}


def test_a_channel_named_like_a_number_of_the_file_is_found_by_its_name() -> None:
    numbered = Channels((Channel("c2", "protein", "green"), Channel("c1", "other", "red")))
    assert choose(held("C1", "C2"), numbered, None) == {"c2": 1, "c1": 0}
