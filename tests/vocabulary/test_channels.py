"""Channels: roles, colours, documents, and rejection of malformed lists."""

import pytest

from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS

GFP, DAPI = Channel("gfp", "protein", "#00FF80"), Channel("dapi", "nucleus", "cyan")


def test_channels_know_their_roles_and_colours() -> None:
    channels = Channels((DAPI, GFP))
    assert (channels.names, channels.protein, channels.nucleus) == (("dapi", "gfp"), 1, 0)
    assert Channels((GFP,)).nucleus is None
    assert (DAPI.hex, DAPI.rgb) == ("#00ffff", (0, 1, 1))
    assert GFP.rgb == (0, 1, 128 / 255)
    assert [each.shows for each in CHANNELS.channels] == [
        "microtubules",
        "protein",
        "nucleus",
        "endoplasmic reticulum",
    ]


@pytest.mark.parametrize(
    ("channels", "match"),
    [
        ([], "0 channels, expected 1 to 8"),
        ([GFP, *(Channel(f"c{n}", "other", "red") for n in range(8))], "9 channels"),
        ([DAPI], "0 channels have the role protein"),
        ([GFP, Channel("rfp", "protein", "red")], "2 channels have the role protein"),
        ([GFP, DAPI, Channel("hoechst", "nucleus", "blue")], "2 channels have the role nucleus"),
        ([GFP, Channel("GFP", "other", "red")], "the name 'gfp' is given twice"),
        ([GFP, Channel("a_b", "other", "red")], "the name 'a_b' is not allowed"),
        ([GFP, Channel("Target", "other", "red")], "the name 'Target' is not allowed"),
        ([GFP, Channel("c1", "others", "red")], "role 'others', expected protein, nucleus, other"),
        ([GFP, Channel("c1", "other", "pink")], "color 'pink', expected #rrggbb or one of red"),
        ([GFP, Channel("c1", "other", "#000000")], "channel 'c1' has the color black"),
    ],
)
def test_malformed_channels_are_refused(channels: list[Channel], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Channels(tuple(channels))


def test_a_vocabulary_is_read_back_and_its_difference_names_labels_and_channels() -> None:
    other = Vocabulary(LABELS, Channels((DAPI, GFP)))
    assert Vocabulary.from_json(other.to_json()) == other
    assert HPA_2018.difference(HPA_2018) == ""
    assert HPA_2018.difference(other) == ("channels dapi, gfp instead of red, green, blue, yellow")
    with pytest.raises(ValueError, match="not a vocabulary"):
        Vocabulary.from_json({"labels": []})


@pytest.mark.parametrize(
    "wrong", [{"name": "A"}, {"name": "A", "role": "protein", "colour": "red"}, "A", None]
)
def test_what_is_not_a_channel_is_shown_with_the_keys_of_one(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a channel: expected name, role, color") as caught:
        Channels.from_json([wrong])  # type: ignore[list-item]
    assert repr(wrong) in str(caught.value)
    assert "__init__" not in str(caught.value)
