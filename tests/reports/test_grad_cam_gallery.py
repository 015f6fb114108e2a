"""Grad-CAM gallery and its pictures."""

from pathlib import Path

import numpy as np
import pytest

from hpa.data.images.rendering import overlay, protein, pseudo_colour
from hpa.reports.gallery import GalleryImage, read_gallery, write_gallery
from hpa.reports.grad_cam_gallery import choose_examples, draw_example
from hpa.vocabulary.channels import COLORS, Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 48, 4), dtype=np.uint8)


def labels(*numbers: int) -> np.ndarray:
    row = np.zeros(28, np.uint8)
    row[list(numbers)] = 1
    return row


def test_each_label_gets_an_image_of_each_outcome() -> None:
    y_true = np.array([labels(0), labels(0), labels(0), labels(7)])
    y_pred = np.array([labels(0), labels(0), labels(7), labels(7)])
    chosen = choose_examples(y_true, y_pred, n_per_label=1, seed=5)
    kinds = [(label, kind) for label, kind, _ in chosen]
    assert kinds == [
        (0, "true positive"),
        (0, "false negative"),
        (7, "true positive"),
        (7, "false positive"),
    ]
    rows = {kind: row for label, kind, row in chosen if label == 0}
    assert rows["true positive"] in (0, 1)
    assert rows["false negative"] == 2


def test_the_choice_depends_on_the_seed_alone() -> None:
    y_true = np.random.default_rng(1).integers(0, 2, (90, 28), dtype=np.uint8)
    first, again, other = (
        choose_examples(y_true, y_true, n_per_label=2, seed=seed) for seed in (5, 5, 6)
    )
    assert first == again != other
    assert len(first) == 2 * 28


def test_the_choice_is_the_same_as_in_earlier_versions() -> None:
    random = np.random.default_rng(1)
    y_true, y_pred = (random.integers(0, 2, (90, 28), dtype=np.uint8) for _ in range(2))
    chosen = choose_examples(y_true, y_pred, n_per_label=1, seed=5)
    assert [row for _, _, row in chosen[:3]] == [34, 38, 87]


def test_the_overlay_is_orange_at_the_maximum_and_unchanged_at_zero() -> None:
    black = np.zeros((40, 40, 4), np.uint8)
    heat = np.zeros((2, 2), np.float32)
    heat[0, 1] = 3.0
    picture = overlay(black, heat, CHANNELS)
    # 0.55 of (255, 122, 20) over black
    assert picture[0, -1].tolist() == [140, 67, 11]
    assert picture[-1, 0].tolist() == [0, 0, 0]


def test_a_zero_map_leaves_the_protein_picture_unchanged() -> None:
    np.testing.assert_array_equal(
        overlay(PIXELS, np.zeros((2, 2), np.float32), CHANNELS), protein(PIXELS, CHANNELS)
    )


def test_a_gallery_can_be_written_and_read_back(tmp_path: Path) -> None:
    picture = draw_example(PIXELS, np.ones((2, 2), np.float32), CHANNELS)
    assert picture.shape == (48, 3 * 48 + 2, 3)
    example = GalleryImage(7, "false negative", "cell-1", (7, 25), (0,), 0.25, 0.5, "one.jpg")
    write_gallery(tmp_path / "gallery", [(example, picture)], note="as it is")
    assert read_gallery(tmp_path / "gallery") == ("as it is", [example])
    assert (tmp_path / "gallery" / example.file).read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("channel", "rgb"), list(enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]))
)
def test_each_channel_shows_in_its_own_colour(channel: int, rgb: tuple[int, ...]) -> None:
    image = np.zeros((4, 4, 4), np.uint8)
    image[channel, channel, channel] = 255
    assert tuple(pseudo_colour(image, CHANNELS)[channel, channel]) == rgb


def test_the_endoplasmic_reticulum_is_yellow_at_six_tenths() -> None:
    image = np.zeros((4, 4, 4), np.uint8)
    image[3, 3, 3] = 255
    assert tuple(pseudo_colour(image, CHANNELS)[3, 3]) == (153, 153, 0)


def test_a_black_image_stays_black() -> None:
    assert pseudo_colour(np.zeros((4, 4, 4), np.uint8), CHANNELS).max() == 0


@pytest.mark.parametrize(("n", "n_panels"), [(1, 2), (3, 3), (4, 3), (6, 3), (8, 3)])
@pytest.mark.parametrize("size", [48, 300])
def test_any_number_of_channels_is_drawn_and_one_alone_is_not_drawn_twice(
    n: int, n_panels: int, size: int
) -> None:
    roles = ("protein", "nucleus", *["other"] * 6)[:n]
    channels = Channels(
        tuple(
            Channel(f"c{place}", role, color)
            for place, (role, color) in enumerate(zip(roles, list(COLORS)[:n], strict=True))
        )
    )
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, n), dtype=np.uint8)
    picture = draw_example(pixels, np.zeros((2, 2), np.float32), channels)
    shown = min(size, 256)
    gap = shown // 48
    assert picture.shape == (shown, n_panels * shown + (n_panels - 1) * gap, 3)
    np.testing.assert_array_equal(  # without heat, the last two panels are the protein
        picture[:, -shown:], picture[:, -2 * shown - gap : -shown - gap]
    )
