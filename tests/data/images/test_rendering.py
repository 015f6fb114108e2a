"""Pseudo-colour and protein pictures of any channels."""

import numpy as np
import pytest

from hpa.data.images.rendering import display_weights, overlay, protein, pseudo_colour, stretched
from hpa.vocabulary import hpa2018
from hpa.vocabulary.channels import Channel, Channels
from support.worlds import draw_pixels

GFP, DAPI = Channel("GFP", "protein", "green"), Channel("DAPI", "nucleus", "blue")


def test_the_preset_is_mixed_as_ever_to_the_bit() -> None:
    for seed in range(5):
        image = draw_pixels(seed)
        red, green, blue, yellow = np.moveaxis(stretched(image), -1, 0)
        rgb = np.stack([red + 0.6 * yellow, green + 0.6 * yellow, blue], axis=-1)
        expected = np.asarray(255 * np.clip(rgb, 0, 1), dtype=np.uint8)
        np.testing.assert_array_equal(pseudo_colour(image, hpa2018.CHANNELS), expected)


@pytest.mark.parametrize(
    ("channels", "weights"),
    [
        ((Channel("c1", "protein", "white"),), [(1, 1, 1)]),  # alone, nothing is beneath it
        ((Channel("c1", "protein", "white"), DAPI), [(0.6, 0.6, 0.6), (0, 0, 1)]),
        ((GFP, DAPI, Channel("c3", "other", "magenta")), [(0, 1, 0), (0, 0, 1), (0.6, 0, 0.6)]),
        ((Channel("c1", "protein", "yellow"), DAPI), [(1, 1, 0), (0, 0, 1)]),  # no shared component
        ((GFP, Channel("c2", "other", "#800000")), [(0, 1, 0), (128 / 255, 0, 0)]),
    ],
)
def test_a_mixed_colour_leaves_room_for_others_that_share_its_components(
    channels: tuple[Channel, ...], weights: list[tuple[float, ...]]
) -> None:
    np.testing.assert_allclose(display_weights(Channels(channels)), weights)


@pytest.mark.parametrize("n_channels", [1, 3, 6, 8])
def test_pictures_of_any_channels_have_three_components(n_channels: int) -> None:
    others = (Channel(f"c{k}", "other", "cyan") for k in range(n_channels - 1))
    channels = Channels((*others, GFP))
    image = draw_pixels(1, 48, n_channels)
    assert pseudo_colour(image, channels).shape == (48, 48, 3)
    last = (255 * stretched(image)[..., -1]).astype(np.uint8)
    np.testing.assert_array_equal(protein(image, channels), np.dstack([last] * 3))
    flat = overlay(image, np.zeros((3, 3), np.float32), channels)
    np.testing.assert_array_equal(flat, protein(image, channels))
