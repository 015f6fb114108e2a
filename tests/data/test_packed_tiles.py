"""Packing to a pixel size and in tiles: rows, groups, Ids, remarks, the same bytes each time."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa.data import shards
from hpa.data.images.decoding import read_image_planes, read_tiles
from hpa.data.images.framing import FramingRules, to_tiles
from hpa.data.packed.packed_images import PackedImages, image_ids, read_index, read_quarantine
from hpa.data.packed.record import data_parameters
from hpa.data.packing import pack
from hpa.data.splits.splitting import split_images
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.worlds import digests, draw_pixels, write_csv, write_image

SIZES = {"wide": (64, 150), "tall": (130, 64), "square": (64, 64), "plate": (64, 100)}
N_TILES = {"wide": 3, "tall": 3, "square": 1, "plate": 2}


def field(seed: int, height: int, width: int) -> np.ndarray:
    return draw_pixels(seed, 256)[:height, :width]


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Four fields of other shapes, 0.5 µm per pixel but for the last, and a group of two."""
    for seed, (name, shape) in enumerate(SIZES.items()):
        write_image(tmp_path / "raw/train", name, field(seed, *shape))
    rows = [
        ("wide", "4", "well-3", "0.5"),
        ("tall", "4 9", "", "0.5"),
        ("square", "7", "well-3", "0.5"),
        ("plate", "0", "", ""),
    ]
    write_csv(tmp_path / "raw/train.csv", ("Id", "Target", "group", "pixel_size_um"), rows)
    return tmp_path / "raw"


def pack_tiles(raw_dir: Path, packed_dir: Path, **changes: Any) -> pd.DataFrame:
    rules = {"image_size": 32, "shard_rows": 2, "odd_size": "tiles", "n_jobs": 1} | changes
    return pack(raw_dir, packed_dir, **rules)


def test_each_tile_is_a_row_with_the_target_the_group_and_the_pixels_of_its_field(
    fields: Path, tmp_path: Path
) -> None:
    pack_tiles(fields, tmp_path / "p")
    index = read_index(tmp_path / "p")
    assert index["Id"].tolist() == [
        *["wide_tile1", "wide_tile2", "wide_tile3"],
        *["tall_tile1", "tall_tile2", "tall_tile3"],
        "square",
        *["plate_tile1", "plate_tile2"],
    ]
    assert index["tile"].tolist() == [1, 2, 3, 1, 2, 3, 0, 1, 2]
    n_tiles = list(N_TILES.values())
    assert image_ids(index).tolist() == np.repeat(list(N_TILES), n_tiles).tolist()
    assert index["Target"].tolist() == np.repeat(["4", "4 9", "7", "0"], n_tiles).tolist()
    groups = ["well-3", "tall", "well-3", "plate"]  # a field alone in its group is named by its Id
    assert index["group"].tolist() == np.repeat(groups, n_tiles).tolist()
    rows = PackedImages(tmp_path / "p").read(np.arange(len(index)))
    expected = [
        tile
        for name in SIZES
        for tile in to_tiles(
            read_image_planes(fields / "train", name, CHANNELS.names),
            None,
            FramingRules(32, "tiles"),
        )
    ]
    assert np.array_equal(rows, np.stack(expected))
    known = index["packed_pixel_size_um"].tolist()
    assert known == ["1.000000"] * 7 + [""] * 2  # 64 pixels of 0.5 µm in 32


def test_images_are_scaled_to_the_pixel_size_and_those_without_are_named_once(
    fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack_tiles(fields, tmp_path / "p", pixel_size_um=1.0)
    index = read_index(tmp_path / "p")
    fields_of = index["Id"].str.partition("_")[0]
    # wide: 32 × 75 pixels; tall: 65 × 32, within a pixel of two; plate as it is: 64 × 100
    assert fields_of.value_counts().to_dict() == {"wide": 3, "tall": 2, "square": 1, "plate": 8}
    rows = PackedImages(tmp_path / "p").read(np.arange(len(index)))
    assert np.array_equal(rows[6], field(3, 64, 100)[:32, :32])
    half = cv2.resize(field(2, 64, 64), (32, 32), interpolation=cv2.INTER_AREA)
    assert np.array_equal(rows[5], half)
    said = capsys.readouterr().out
    assert said.count("without a pixel size") == 1
    assert "without a pixel size, taken as they are instead of scaled to 1 µm: 1 (plate)" in said
    assert "14 squares of 4 images" in said
    made_with = data_parameters(tmp_path / "p", tmp_path / "no_split")
    assert made_with["pack.pixel_size_um"] == 1.0
    assert made_with["found.n_without_pixel_size"] == 1


def test_what_a_crop_leaves_out_is_said(
    fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack_tiles(fields, tmp_path / "p", pixel_size_um=1.0, odd_size="crop")
    said = capsys.readouterr().out
    assert "images larger than the network's input: 3 (" in said
    assert "wide: only the middle 32×32 of 75×32 pixels is looked at" in said


def test_tiles_of_a_field_and_fields_of_a_group_are_never_separated(tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(30)]
    for seed, name in enumerate(names):
        write_image(tmp_path / "raw/train", name, field(seed, 40, 40 * (1 + seed % 4)))
    rows = [(name, str(n % 3), f"well-{n}" if n < 4 else "") for n, name in enumerate(names)]
    rows[1] = (*rows[1][:2], "well-0")
    write_csv(tmp_path / "raw/train.csv", ("Id", "Target", "group"), rows)
    pack_tiles(tmp_path / "raw", tmp_path / "p")
    index = read_index(tmp_path / "p")
    assert len(index) == sum(1 + seed % 4 for seed in range(30))
    for seed in range(5):
        assignment = split_images(
            index, LABELS, test_fraction=0.3, val_fraction=0.3, n_folds=1, hash_distance=6,
            seed=seed,
        )  # fmt: skip
        of_field = assignment.assign(field=index["Id"].str.partition("_")[0]).groupby("field")
        assert (of_field["split"].nunique() == 1).all()
        split = of_field["split"].first()
        assert split["f0"] == split["f1"]
        assert split.nunique() == 3


def test_bytes_depend_on_neither_processes_nor_shards_nor_an_earlier_run(
    fields: Path, tmp_path: Path
) -> None:
    pack_tiles(fields, tmp_path / "one", pixel_size_um=1.0)
    pack_tiles(fields, tmp_path / "two", pixel_size_um=1.0, n_jobs=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    pack_tiles(fields, tmp_path / "other", pixel_size_um=1.0, shard_rows=1)
    rows = np.arange(len(read_index(tmp_path / "one")))
    one, other = (PackedImages(tmp_path / each).read(rows) for each in ("one", "other"))
    assert np.array_equal(one, other)
    assert read_index(tmp_path / "one").equals(read_index(tmp_path / "other"))


def test_an_interrupted_run_resumes_to_the_same_bytes(
    fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def read_and_stop(folder: Path, image_id: str, *rest: Any) -> Any:
        read.append(image_id)
        if len(read) == 4:  # one shard is finished, and half of the other
            raise KeyboardInterrupt
        return read_tiles(folder, image_id, *rest)

    monkeypatch.setattr(shards, "read_tiles", read_and_stop)
    with pytest.raises(KeyboardInterrupt):
        pack_tiles(fields, tmp_path / "p", pixel_size_um=1.0)
    pack_tiles(fields, tmp_path / "p", pixel_size_um=1.0)
    assert read == ["wide", "tall", "square", "plate", "square", "plate"]
    pack_tiles(fields, tmp_path / "clean", pixel_size_um=1.0)
    assert digests(tmp_path / "p") == digests(tmp_path / "clean")


def test_a_field_is_quarantined_as_a_whole(fields: Path, tmp_path: Path) -> None:
    path = fields / "train/tall_blue.png"
    path.write_bytes(path.read_bytes()[:-9])
    pack_tiles(fields, tmp_path / "p", max_unreadable_fraction=0.25)
    assert read_quarantine(tmp_path / "p")["Id"].tolist() == ["tall"]
    assert not read_index(tmp_path / "p")["Id"].str.startswith("tall").any()
    with pytest.raises(UserError, match=r"of 4 images"):
        pack_tiles(fields, tmp_path / "q", max_unreadable_fraction=0.2)


def test_an_absurd_pixel_size_is_refused_like_an_unreadable_file(
    fields: Path, tmp_path: Path
) -> None:
    table = (fields / "train.csv").read_text()
    (fields / "train.csv").write_text(table.replace("tall,4 9,,0.5", "tall,4 9,,500"))
    with pytest.raises(UserError, match=r"Id tall\): 64×130 pixels of 500 µm.*wrong unit"):
        pack_tiles(fields, tmp_path / "p", pixel_size_um=1.0)


@pytest.mark.parametrize("cell", ["0,5 µm", "-1", "0", "inf", "nan"])
def test_a_pixel_size_that_is_not_a_length_is_refused(
    fields: Path, tmp_path: Path, cell: str
) -> None:
    table = (fields / "train.csv").read_text()
    (fields / "train.csv").write_text(table.replace("tall,4 9,,0.5", f'tall,4 9,,"{cell}"'))
    with pytest.raises(UserError, match=rf"not lengths(.|\n)*1: tall {cell}"):
        pack_tiles(fields, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_tiles_named_like_another_image_are_refused(fields: Path, tmp_path: Path) -> None:
    write_image(fields / "train", "wide_tile2", field(9, 64, 64))
    with (fields / "train.csv").open("a") as file:
        file.write("wide_tile2,5,,\n")
    with pytest.raises(UserError, match=r"tiles would have the Ids(.|\n)*wide_tile2"):
        pack_tiles(fields, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_room_is_required_for_all_tiles(fields: Path, tmp_path: Path, monkeypatch: Any) -> None:
    asked: list[int] = []
    monkeypatch.setattr("hpa.data.packing.require_free_space", lambda _, n, __: asked.append(n))
    pack_tiles(fields, tmp_path / "p")
    assert asked == [sum(N_TILES.values()) * 32 * 32 * 4]


def test_pixel_sizes_alone_change_no_pixel_and_tiles_of_squares_are_the_images(
    fields: Path, tmp_path: Path
) -> None:
    for name in ("wide", "tall", "plate"):
        write_image(fields / "train", name, field(1, 64, 64))
    plain = shutil.copytree(fields, tmp_path / "plain")
    table = pd.read_csv(fields / "train.csv", dtype=str, keep_default_na=False)
    table.drop(columns="pixel_size_um").to_csv(plain / "train.csv", index=False)
    pack_tiles(fields, tmp_path / "p")
    pack_tiles(plain, tmp_path / "q", odd_size="refuse")
    added = ["pixel_size_um", "packed_pixel_size_um"]
    left = read_index(tmp_path / "p")
    assert left.drop(columns=added).equals(read_index(tmp_path / "q"))
    rows = np.arange(4)
    assert np.array_equal(*(PackedImages(tmp_path / each).read(rows) for each in "pq"))
