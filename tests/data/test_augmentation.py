import numpy as np

from hpa.data.augmentation import dihedral

IMAGE = np.arange(2 * 2 * 1, dtype=np.uint8).reshape(2, 2, 1)  # rows 0 1 / 2 3


def turned(choice: int) -> list[int]:
    return dihedral(IMAGE[None].copy(), np.array([choice]))[0].ravel().tolist()


def test_the_eight_choices_are_the_symmetries_of_the_square() -> None:
    assert turned(0) == [0, 1, 2, 3]
    assert turned(1) == [1, 3, 0, 2]  # a quarter against the clock: the right column goes on top
    assert turned(2) == [3, 2, 1, 0]
    assert turned(4) == [1, 0, 3, 2]  # mirrored left to right
    assert len({tuple(turned(choice)) for choice in range(8)}) == 8


def test_channels_turn_together_and_no_pixel_is_lost() -> None:
    images = np.random.default_rng(1).integers(0, 256, (8, 6, 6, 4), dtype=np.uint8)
    result = dihedral(images.copy(), np.arange(8))
    for before, after in zip(images, result, strict=True):
        pixels = (image.reshape(-1, 4).tolist() for image in (before, after))
        assert sorted(next(pixels)) == sorted(next(pixels))
