"""Pixel sizes of the training images: measured, kept with the model, absent in earlier versions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.data.images.framing import FramingRules, divide
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.pixel_sizes import PixelSizes, size_flags
from hpa.data.packed.training_range import TrainingRange, measure_training_images
from hpa.data.packing import pack
from hpa.data.splits.splitting import write_split
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.worlds import N_LABELLED

SIZES = PixelSizes(0.08, 0.1, 0.16, packed_low=0.64, packed_high=1.28, n_unknown=0)


def flags_of(rules: FramingRules, size_um: float | None, side: int) -> list[str]:
    """Return the flags of a square image, beside training images of `SIZES`."""
    tiles = divide([np.ones((side, side), np.uint8)], size_um, rules)
    return size_flags(SIZES, rules.pixel_size_um, size_um, tiles.pixel_size_um)


def test_the_sizes_of_the_training_images_alone_are_kept_with_the_model(
    own_world: Path, tmp_path: Path
) -> None:
    """64 pixels become 32: as packed, a pixel is twice as wide."""
    table = pd.read_csv(own_world / "train.csv", dtype=str)
    sizes = ["0.5", "0.1", "", "0.2", "0.1"] * (N_LABELLED // 5)
    table.assign(pixel_size_um=sizes).to_csv(own_world / "train.csv", index=False)
    pack(own_world, tmp_path / "p", image_size=32, shard_rows=64, n_jobs=1)
    index = read_index(tmp_path / "p")
    split = np.where(index.index % 5 == 0, "test", "train")  # the images of 0.5 µm
    split[~index["labelled"]] = "unlabelled"
    assignment = pd.DataFrame({"Id": index["Id"], "group": 0, "split": split})
    write_split(tmp_path / "split", index, LABELS, assignment)

    seen = measure_training_images(tmp_path / "p", tmp_path / "split", 0)
    assert seen.pixel_sizes == PixelSizes(
        0.1, 0.1, 0.2, packed_low=0.2, packed_high=0.4, n_unknown=N_LABELLED // 5
    )
    document = json.loads(json.dumps(seen.to_json()))
    assert TrainingRange.from_json(document, CHANNELS).pixel_sizes == seen.pixel_sizes
    del document["pixel_size_um"]  # an earlier version
    assert TrainingRange.from_json(document, CHANNELS).pixel_sizes is None
    document["pixel_size_um"] = {"low": 0.1}
    with pytest.raises(UserError, match="training range cannot be read"):
        TrainingRange.from_json(document, CHANNELS)


def test_images_without_pixel_sizes_leave_no_trace(packed_world: Path, tmp_path: Path) -> None:
    index = read_index(packed_world)
    assert PixelSizes.of(index) is None
    assert not any("pixel_size" in column for column in index)
    assignment = pd.DataFrame({"Id": index["Id"], "group": 0, "split": "train"})
    write_split(tmp_path / "split", index, LABELS, assignment)
    seen = measure_training_images(packed_world, tmp_path / "split", 0)
    assert "pixel_size_um" not in seen.to_json()


@pytest.mark.parametrize(
    ("size_um", "side", "flags"),
    [
        (0.1, 256, []),  # 0.8 µm per pixel of the network
        (0.16, 256, []),
        (0.172, 256, []),  # within 10 % of the largest
        (0.325, 256, ["pixels of 0.325 µm; the training images had 0.08 to 0.16 µm: structures "
                      "look 2 times smaller"]),
        (0.02, 256, ["pixels of 0.02 µm; the training images had 0.08 to 0.16 µm: structures "
                     "look 4 times larger"]),
        (0.32, 64, []),  # fewer pixels of the same field
        (0.1, 64, ["pixels of 0.1 µm, as in the training images, but in a picture of another "
                   "size: structures look 3.2 times larger"]),
        (None, 256, ["the pixel size is unknown: structures may look larger or smaller than in "
                     "the training images"]),
    ],
)  # fmt: skip
def test_structures_of_another_size_than_in_training_are_flagged(
    size_um: float | None, side: int, flags: list[str]
) -> None:
    assert flags_of(FramingRules(32), size_um, side) == flags


def test_a_model_of_images_without_pixel_sizes_asks_for_none() -> None:
    assert size_flags(None, None, None, None) == size_flags(None, None, 0.1, 0.2) == []


@pytest.mark.parametrize(
    ("size_um", "side", "flags"),
    [
        (0.5, 32, []),
        (0.25, 64, []),
        (0.75, 32, []),
        (1.0, 16, ["pixels of 1 µm were enlarged 2 times to the 0.5 µm of the training images: "
                   "fine structures are missing"]),
        (None, 32, ["the pixel size is unknown: it was not scaled to 0.5 µm as the training images "
                    "were"]),
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_scaled_like_the_training_images_is_flagged(
    size_um: float | None, side: int, flags: list[str]
) -> None:
    assert flags_of(FramingRules(32, "crop", pixel_size_um=0.5), size_um, side) == flags
