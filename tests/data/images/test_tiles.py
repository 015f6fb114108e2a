"""Scaling to a pixel size, and squares of images that are not square."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from hpa.data.images.framing import (
    MAX_TILES,
    FramingRules,
    count_tiles,
    divide,
    fitted_shape,
    scaled_shape,
    squares,
    to_tiles,
)
from hpa.data.images.opened import InvalidImageError


def ramp(height: int, width: int) -> np.ndarray:
    """Draw a plane on which no two neighbours are equal."""
    return np.fromfunction(lambda y, x: 1 + (7 * y + 3 * x) % 254, (height, width)).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "corners"),
    [
        ((100, 250), [(0, 0), (0, 75), (0, 150)]),  # three of 100, as two cover 200; (250-100)/2
        ((250, 100), [(0, 0), (75, 0), (150, 0)]),
        ((100, 200), [(0, 0), (0, 100)]),
        ((100, 201), [(0, 0), (0, 50), (0, 101)]),
        ((100, 101), [(0, 0), (0, 1)]),
        ((100, 100), [(0, 0)]),
        ((1, 3), [(0, 0), (0, 1), (0, 2)]),
    ],
)
def test_the_fewest_squares_of_the_short_side_cover_the_long_one_at_equal_distances(
    shape: tuple[int, int], corners: list[tuple[int, int]]
) -> None:
    assert squares(shape, FramingRules(32, "tiles")) == (min(shape), corners)


@pytest.mark.parametrize(
    ("shape", "fitted", "pixel_size_um"),
    [
        ((1000, 1001), (1000, 1000), None),
        ((1010, 1000), (1000, 1000), None),
        ((1011, 1000), (1011, 1000), None),  # 1.1 %: two tiles
        ((100, 302), (100, 300), None),
        ((100, 199), (100, 199), None),
        ((505, 1009), (500, 1000), 0.4),  # whole tiles of 100
        ((90, 99), (90, 99), 0.4),  # smaller than a tile: black around it
    ],
)
def test_a_side_is_shrunk_by_a_hundredth_at_most_to_spare_an_almost_equal_tile(
    shape: tuple[int, int], fitted: tuple[int, int], pixel_size_um: float | None
) -> None:
    rules = FramingRules(100, "tiles", pixel_size_um=pixel_size_um)
    assert fitted_shape(shape, rules) == fitted
    assert fitted_shape(shape, FramingRules(100, "crop", pixel_size_um=pixel_size_um)) == shape
    plane = ramp(*shape)
    tiles = to_tiles([plane], pixel_size_um, rules)
    assert len(tiles) == count_tiles(shape, pixel_size_um, rules)
    if fitted == (1000, 1000):  # nothing is cut: the whole image, resized
        whole = cv2.resize(plane, fitted, interpolation=cv2.INTER_AREA)
        expected = cv2.resize(whole, (100, 100), interpolation=cv2.INTER_AREA)
        assert [np.array_equal(tile[..., 0], expected) for tile in tiles] == [True]


def test_content_that_is_almost_a_tile_is_one() -> None:
    plane = np.zeros((200, 200), np.uint8)
    plane[40:134, 50:143] = 200  # 94 pixels and the margin are 102
    assert count_tiles((102, 102), 0.5, FramingRules(101, "tiles", "content", 0.5)) == 1
    assert len(to_tiles([plane], 0.5, FramingRules(101, "tiles", "content", 0.5))) == 1


def test_a_field_to_scale_is_divided_along_both_axes() -> None:
    """1000 × 600 pixels of 0.2 µm are 500 × 300 of 0.4 µm: three and two squares of 200."""
    rules = FramingRules(200, "tiles", pixel_size_um=0.4)
    shape = scaled_shape((600, 1000), 0.2, rules)
    assert shape == (300, 500)
    corners = [(top, left) for top in (0, 100) for left in (0, 150, 300)]
    assert squares(shape, rules) == (200, corners)
    tiles = to_tiles([ramp(600, 1000)], 0.2, rules)
    half = cv2.resize(ramp(600, 1000), (500, 300), interpolation=cv2.INTER_AREA)
    for tile, (top, left) in zip(tiles, corners, strict=True):
        assert np.array_equal(tile[..., 0], half[top : top + 200, left : left + 200])


@pytest.mark.parametrize("seed", range(40))
def test_every_pixel_is_in_a_square_and_no_square_could_be_spared(seed: int) -> None:
    random = np.random.default_rng(seed)
    field = tuple(random.integers(1, 400, 2).tolist())
    size, to_scale = int(random.integers(32, 128)), seed % 2
    rules = FramingRules(size, "tiles", pixel_size_um=0.5 if to_scale else None)
    height, width = fitted_shape(scaled_shape(field, 0.5, rules), rules)
    side, corners = squares((height, width), rules)
    assert count_tiles(field, 0.5, rules) == len(corners)
    for axis, length in enumerate((height, width)):
        starts = sorted({corner[axis] for corner in corners})
        assert len(starts) == -(-length // side)
        assert starts[0] <= 0
        assert starts[-1] + side >= length
        assert all(later - earlier <= side for earlier, later in pairwise(starts))
        if length >= side:
            assert (starts[0], starts[-1] + side) == (0, length)


@pytest.mark.parametrize("odd_size", ["pad", "crop", "tiles"])
@pytest.mark.parametrize("shape", [(20, 20), (20, 33), (50, 20), (64, 48)])
def test_a_field_to_scale_keeps_its_scale_whatever_its_size(
    shape: tuple[int, int], odd_size: str
) -> None:
    """What is smaller than the input is padded, and no pixel is interpolated."""
    plane = ramp(*shape)
    tiles = divide([plane], 0.5, FramingRules(32, odd_size, pixel_size_um=0.5))
    assert len(tiles.pixels) == (
        np.prod([-(-n // 32) for n in shape]) if odd_size == "tiles" else 1
    )
    assert {tile.shape for tile in tiles.pixels} == {(32, 32, 1)}
    first = tiles.pixels[0][..., 0]
    height, width = (min(n, 32) for n in shape)
    top, left = (32 - height) // 2, (32 - width) // 2
    y, x = ((n - min(n, 32)) // 2 if odd_size != "tiles" else 0 for n in shape)
    inside = first[top : top + height, left : left + width]
    assert np.array_equal(inside, plane[y : y + height, x : x + width])
    assert np.count_nonzero(first) == height * width
    assert (tiles.cut is not None) == (odd_size != "tiles" and max(shape) > 32)


def test_what_a_crop_to_scale_leaves_out_is_said() -> None:
    tiles = divide([ramp(64, 96)], 0.5, FramingRules(32, "pad", pixel_size_um=0.5))
    assert tiles.cut == "only the middle 32×32 of 96×64 pixels is looked at"


def test_scaling_averages_areas_down_and_interpolates_up() -> None:
    plane = ramp(64, 64)
    down = to_tiles([plane], 0.25, FramingRules(32, pixel_size_um=0.5))[0][..., 0]
    blocks = plane.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(down - blocks).max() <= 0.5
    up = to_tiles([plane], 0.5, FramingRules(128, pixel_size_um=0.25))[0][..., 0]
    expected = cv2.resize(plane, (128, 128), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(up, expected)


@pytest.mark.parametrize(
    ("size_um", "scaled"),
    [
        (0.0627, 96),  # 1000 · 0.0627 / 0.65 = 96.46
        (0.1240, 191),  # 190.77, more than a pixel below 192
        (0.12535, 192),  # 192.85: no third square for a pixel
        (0.1264, 194),  # 194.46
        (0.03, 46),  # 46.15
    ],
)
def test_a_multiple_of_the_input_is_reached_within_a_pixel(size_um: float, scaled: int) -> None:
    rules = FramingRules(96, "tiles", pixel_size_um=0.65)
    assert scaled_shape((1000, 1000), size_um, rules) == (scaled, scaled)


def test_an_image_of_unknown_pixel_size_is_taken_as_it_is() -> None:
    plane = ramp(32, 80)
    rules = FramingRules(32, "tiles", pixel_size_um=0.5)
    tiles = divide([plane], None, rules)
    assert tiles.pixel_size_um is None
    assert [tile[0, 0, 0] for tile in tiles.pixels] == [plane[0, left] for left in (0, 24, 48)]


def test_only_the_size_of_the_input_is_accepted_unless_a_rule_says_what_to_do() -> None:
    rules = FramingRules(32, pixel_size_um=0.5)
    for side in (63, 64, 65):  # 31.5, 32 and 32.5 pixels
        assert to_tiles([ramp(side, side)], 0.25, rules)[0].shape == (32, 32, 1)
    wrong = r"40×32 pixels instead of 32×32 at the 0\.5 µm of pack\.pixel_size_um \(pad, crop"
    with pytest.raises(InvalidImageError, match=wrong):
        to_tiles([ramp(64, 80)], 0.25, rules)
    with pytest.raises(InvalidImageError, match="pixel size is unknown"):
        to_tiles([ramp(64, 64)], None, rules)
    with pytest.raises(InvalidImageError, match=r"80×64 pixels: not square \(pad, crop or tiles"):
        to_tiles([ramp(64, 80)], 0.25, FramingRules(32))


@pytest.mark.parametrize(
    ("shape", "size_um"),
    [
        ((64, 64), 10.0),  # 20 times larger
        ((4096, 4096), 1.5),  # 12288 pixels
        ((64, 64), 0.0005),  # nanometres for micrometres: less than a pixel
    ],
)
def test_an_absurd_pixel_size_is_refused(shape: tuple[int, int], size_um: float) -> None:
    with pytest.raises(InvalidImageError, match=rf"pixels of {size_um:g} µm.* wrong unit"):
        to_tiles([np.zeros(shape, np.uint8)], size_um, FramingRules(32, "crop", pixel_size_um=0.5))


def test_a_field_of_thousands_of_tiles_is_refused() -> None:
    rules = FramingRules(32, "tiles", pixel_size_um=0.5)
    assert count_tiles((1024, 1024), 0.5, rules) == MAX_TILES
    with pytest.raises(InvalidImageError, match=r"1056×1040 pixels, which are 1089 tiles of 32×32"):
        to_tiles([np.zeros((1040, 1056), np.uint8)], 0.5, rules)
    with pytest.raises(InvalidImageError, match=r"2000 tiles of 1×1 \(at most 1024\)"):
        to_tiles([np.zeros((1, 2000), np.uint8)], None, FramingRules(32, "tiles"))


def test_content_to_scale_is_padded_or_cropped_without_a_change_of_scale() -> None:
    """A cell of 20 × 10 pixels stays 20 × 10 pixels, in the middle."""
    plane = np.zeros((100, 60), np.uint8)
    plane[70:90, 3:13] = ramp(20, 10) // 2 + 100
    rules = FramingRules(32, framing="content", pixel_size_um=0.5)
    [tile] = to_tiles([plane], 0.5, rules)
    assert np.array_equal(tile[6:26, 11:21, 0], plane[70:90, 3:13])
    assert np.count_nonzero(tile) == 200
    large = divide([plane.repeat(4, axis=0).repeat(4, axis=1)], 0.5, rules)
    assert large.cut == "only the middle 32×32 of 86×86 pixels is looked at"


@pytest.mark.parametrize(
    ("rules", "packed_um"),
    [
        (FramingRules(32), 1.0),  # 64 pixels of 0.5 µm in 32
        (FramingRules(128, "pad"), 0.25),
        (FramingRules(32, "tiles", pixel_size_um=0.25), 0.25),
    ],
)
def test_the_pixel_size_of_the_result_is_known(rules: FramingRules, packed_um: float) -> None:
    assert divide([ramp(64, 64)], 0.5, rules).pixel_size_um == packed_um
    assert divide([ramp(64, 64)], None, FramingRules(32)).pixel_size_um is None
