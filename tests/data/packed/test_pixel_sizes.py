"""Pixel sizes of the training images: measured, kept with the model, absent in earlier versions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.data.packed.packed_images import read_index
from hpa.data.packed.pixel_sizes import PixelSizes
from hpa.data.packed.training_range import TrainingRange, measure_training_images
from hpa.data.packing import pack
from hpa.data.splits.splitting import write_split
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.worlds import N_LABELLED


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
