"""File names of any channels: capitals, separators, and names that end alike."""

from pathlib import Path

import pytest

from hpa.data.images.file_names import no_channel, reason_to_pass, split_name
from hpa.vocabulary.channels import Channel, Channels

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
