"""Packed folders: rows, index and manifest, the same bytes every time; unreadable images."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa.data.images.decoding import read_image
from hpa.data.packed.packed_images import PackedImages, read_index, read_quarantine
from hpa.data.packed.vocabulary import read_vocabulary, write_vocabulary
from hpa.data.packing import pack
from hpa.data.splits.duplicates import duplicate_groups
from hpa.data.splits.splitting import split_images
from hpa.errors import UserError
from hpa.system.cluster import workers_of
from hpa.system.files import sha256
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018
from hpa.vocabulary.labels import Label, Labels
from support.worlds import (
    IDS,
    N_LABELLED,
    NEAR_COPIES,
    SIZE_PX,
    digests,
    draw_pixels,
    pack_small,
    write_csv,
    write_image,
)


def test_every_row_holds_its_image(raw_world: Path, packed_world: Path) -> None:
    images, index = PackedImages(packed_world), read_index(packed_world)
    assert len(images) == len(index) == len(IDS)
    rows = images.read(np.arange(len(images)))
    for row, (folder, image_id) in enumerate(zip(index["folder"], index["Id"], strict=True)):
        assert np.array_equal(
            rows[row], read_image(raw_world / folder, image_id, CHANNELS.names, 32)
        )


def test_the_index_describes_the_pixels(packed_world: Path) -> None:
    index = read_index(packed_world)
    pixels = PackedImages(packed_world).read(np.arange(len(index)))
    assert list(index["Id"]) == IDS
    assert index["labelled"].dtype == bool
    assert index["labelled"].sum() == N_LABELLED
    for number, channel in enumerate(CHANNELS.names):
        plane = pixels[..., number] / 255
        assert np.allclose(index[f"{channel}_mean"], plane.mean(axis=(1, 2)), atol=1e-6)
        assert np.allclose(index[f"{channel}_std"], plane.std(axis=(1, 2)), atol=1e-6)
        assert np.allclose(index[f"{channel}_saturated"], (plane == 1).mean(axis=(1, 2)), atol=1e-6)


def test_only_near_copies_have_similar_hashes(packed_world: Path) -> None:
    group = duplicate_groups(list(read_index(packed_world)["hash"]), 6)
    for copy, original in NEAR_COPIES.items():
        assert group[copy] == group[original]
    assert len(set(group)) == len(IDS) - len(NEAR_COPIES)


def test_the_manifest_lists_the_shards_and_their_sha256(packed_world: Path) -> None:
    manifest = json.loads((packed_world / "manifest.json").read_text())
    assert (manifest["image_size"], manifest["n_images"]) == (32, 44)
    assert [shard["n_images"] for shard in manifest["shards"]] == [16, 16, 12]
    for shard in manifest["shards"]:
        assert sha256(packed_world / shard["file"]) == shard["sha256"]


def test_a_repeated_run_replaces_the_folder_with_the_same_bytes(
    raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        pack_small(raw_world, tmp_path / "packed")
    assert digests(tmp_path / "packed") == digests(packed_world)
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_two_processes_write_the_same_bytes_as_one_and_name_a_broken_file(
    own_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    pack_small(own_world, tmp_path / "packed", n_jobs=2)
    assert digests(tmp_path / "packed") == digests(packed_world)

    path = own_world / "train" / "cell-033_blue.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        UserError, match=r"train/cell-033_blue\.png \(Id cell-033\): a PNG cut off after 100 bytes"
    ):
        pack_small(own_world, tmp_path / "packed", n_jobs=2)
    assert digests(tmp_path / "packed") == digests(packed_world)


@pytest.mark.parametrize("shard_rows", [1, 7, 44, 1000])
def test_the_size_of_the_shards_changes_no_row(
    raw_world: Path, packed_world: Path, tmp_path: Path, shard_rows: int
) -> None:
    pack_small(raw_world, tmp_path / "packed", shard_rows=shard_rows)
    rows = np.arange(len(IDS))
    expected = PackedImages(packed_world).read(rows)
    assert np.array_equal(PackedImages(tmp_path / "packed").read(rows), expected)
    assert read_index(tmp_path / "packed").equals(read_index(packed_world))
    names = sorted(path.name for path in (tmp_path / "packed").glob("*.npy"))
    assert len(names) == -(-len(IDS) // shard_rows)
    assert (names == ["images.npy"]) == (shard_rows >= len(IDS))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed.*")
def test_two_workers_of_a_dask_cluster_write_the_same_bytes(
    raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        workers_of(cluster.scheduler_address),
    ):
        pack_small(raw_world, tmp_path / "packed", n_jobs=-1)
    assert digests(tmp_path / "packed") == digests(packed_world)


def test_an_unreachable_scheduler_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpa.system.cluster.TIMEOUT_S", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with (
            pytest.raises(UserError, match=r"cluster at .* cannot be used(.|\n)*dask worker"),
            workers_of(address),
        ):
            pass


def test_blank_channels_are_flagged_not_refused(own_world: Path, tmp_path: Path) -> None:
    pixels = np.zeros((SIZE_PX, SIZE_PX, 4), np.uint8)
    write_image(own_world / "train", IDS[0], pixels)
    pixels[..., 1] = draw_pixels(1)[..., 1]
    write_image(own_world / "train", IDS[1], pixels)
    write_image(own_world / "train", IDS[2], np.full_like(pixels, 255))
    pack_small(own_world, tmp_path / "packed")
    index = read_index(tmp_path / "packed")
    assert list(index["blank"][:4]) == [
        "red green blue yellow", "red blue yellow", "red green blue yellow", "",
    ]  # fmt: skip
    assert index["red_saturated"][2] == 1.0


@pytest.mark.parametrize("odd_size", ["pad", "crop"])
def test_images_that_are_not_square_can_be_padded_or_cropped(
    own_world: Path, tmp_path: Path, odd_size: str
) -> None:
    wide = np.zeros((32, 64, 4), np.uint8)
    wide[:, 16:48] = draw_pixels(1, 32)
    write_image(own_world / "train", IDS[0], wide)
    pack(own_world, tmp_path / "packed", image_size=32, shard_rows=16, odd_size=odd_size, n_jobs=1)
    row = PackedImages(tmp_path / "packed").read(np.array([0]))[0]
    if odd_size == "crop":
        assert np.array_equal(row, draw_pixels(1, 32))
    else:
        assert not row[:8].any()
        assert not row[24:].any()
        assert row[8:24, 8:24].any()


def test_an_invalid_image_leaves_the_older_folder_untouched(
    own_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    packed = shutil.copytree(packed_world, tmp_path / "packed")
    write_image(own_world / "test", IDS[-1], np.zeros((32, 64, 4), np.uint8))
    with pytest.raises(UserError, match=IDS[-1]):
        pack_small(own_world, packed)
    assert digests(packed) == digests(packed_world)


def break_two_images(raw_dir: Path) -> None:
    path = raw_dir / "train" / "cell-033_blue.png"
    path.write_bytes(path.read_bytes()[:100])
    write_image(raw_dir / "test", IDS[-1], np.zeros((32, 64, 4), np.uint8))


def test_unreadable_images_are_quarantined_with_their_reason(
    own_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    break_two_images(own_world)
    for shard_rows in (16, 1):  # with one row per shard, two shards are empty
        pack(
            own_world, tmp_path / "packed", image_size=32, shard_rows=shard_rows,
            max_unreadable_fraction=2 / 44, n_jobs=1,
        )  # fmt: skip
        kept = [row for row in range(44) if row not in (33, 43)]
        images = PackedImages(tmp_path / "packed")
        expected = PackedImages(packed_world).read(np.array(kept))
        assert np.array_equal(images.read(np.arange(42)), expected)
        index = read_index(packed_world).loc[kept].reset_index(drop=True)
        pd.testing.assert_frame_equal(read_index(tmp_path / "packed"), index)
        quarantine = read_quarantine(tmp_path / "packed")
        assert quarantine.to_numpy().tolist() == [
            ["cell-033", "train/cell-033_blue.png", "a PNG cut off after 100 bytes"],
            [IDS[-1], f"test/{IDS[-1]}_red.png",
             "64×32 pixels: not square (pad, crop or tiles as pack.odd_size accept it)"],
        ]  # fmt: skip


def test_more_unreadable_images_than_allowed_end_the_run_and_the_first_are_named(
    own_world: Path, tmp_path: Path
) -> None:
    break_two_images(own_world)
    with pytest.raises(UserError, match=r"at most 0\.03 of 44(.|\n)*cell-033_blue(.|\n)*64×32"):
        pack(
            own_world, tmp_path / "packed", image_size=32, shard_rows=16,
            max_unreadable_fraction=0.03, n_jobs=1,
        )  # fmt: skip
    assert not (tmp_path / "packed").exists()


def test_a_clean_run_has_an_empty_quarantine(packed_world: Path) -> None:
    assert (packed_world / "quarantine.csv").read_text() == "Id,path,reason\n"


def png_bytes(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: content[: len(content) // 2], r"a PNG cut off after \d+ bytes"),
        (lambda content: content[:50] + b"?" + content[51:], "a damaged IDAT chunk at byte 33"),
        (lambda _: b"", "an empty file"),
        (lambda _: b"rubbish", "7 bytes that are not a PNG"),
        (lambda _: png_bytes(np.zeros((64, 64), np.uint16)), "a 16-bit grey PNG"),
        (lambda _: png_bytes(np.zeros((64, 64, 3), np.uint8)), "an 8-bit RGB PNG"),
        (
            lambda _: png_bytes(np.zeros((48, 48), np.uint8)),
            "channels of unequal size: red 64×64, .* blue 48×48",
        ),
    ],
)
def test_a_file_error_names_id_path_and_reason(
    own_world: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    path = own_world / "train" / "cell-020_blue.png"
    path.write_bytes(spoil(path.read_bytes()))
    named = rf"train/cell-020_\w+\.png \(Id cell-020\): {reason}"
    with pytest.raises(UserError, match=named):
        pack_small(own_world, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_the_real_sample_is_packed(real_data: Path, tmp_path: Path) -> None:
    index = pack(real_data / "sample48", tmp_path / "p", image_size=64, shard_rows=20, n_jobs=1)
    assert len(index) == 48
    assert (index["blank"] == "").all()
    assert index["green_mean"].between(0.001, 0.5).all()
    rounded = read_index(tmp_path / "p")
    pd.testing.assert_frame_equal(rounded, index, atol=1e-6, check_dtype=False)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 5, 6, 8])
def test_any_number_of_channels_is_packed_by_name(tmp_path: Path, n_channels: int) -> None:
    channels = Channels(
        tuple(
            Channel(f"c.{k}", "protein" if k == n_channels - 1 else "other", "white")
            for k in range(n_channels)
        )
    )
    vocabulary = Vocabulary(Labels((Label(4, "Axoneme"), Label(9, "Cytosol"))), channels)
    write_csv(tmp_path / "raw/train.csv", ("Id", "Target"), [("a", "9"), ("b", "4 9"), ("c", "4")])
    pixels = {name: draw_pixels(seed, 96, n_channels) for seed, name in enumerate("abc")}
    pixels["c"] = np.minimum(np.rot90(pixels["a"]), 253) + np.uint8(2)  # a turned, brighter copy
    for image_id, image in pixels.items():
        write_image(tmp_path / "raw/train", image_id, image, channels)
    write_vocabulary(tmp_path / "raw", vocabulary)
    pack(tmp_path / "raw", tmp_path / "packed", image_size=32, shard_rows=2, n_jobs=1)

    assert read_vocabulary(tmp_path / "packed") == vocabulary
    images, index = PackedImages(tmp_path / "packed"), read_index(tmp_path / "packed")
    assert images.row_shape == (32, 32, n_channels)
    rows = images.read(np.arange(3))
    assert list(index["Target"]) == ["9", "4 9", "4"]
    assert list(index)[5:-3] == [
        f"c.{k}_{what}" for k in range(n_channels) for what in ("mean", "std", "saturated")
    ]
    for k in range(n_channels):
        plane = cv2.resize(pixels["b"][..., k], (32, 32), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(rows[1, ..., k], plane)
        assert index[f"c.{k}_mean"][1] == pytest.approx(plane.mean() / 255, abs=1e-6)
    assert {len(each) for cell in index["hash"] for each in cell.split()} == {16 * n_channels}
    shares = {"test_fraction": 0.2, "val_fraction": 0.2, "n_folds": 1, "seed": 0}
    with pytest.raises(UserError, match=r"received:   2 labelled group"):
        split_images(index, vocabulary.labels, hash_distance=6, **shares)


def test_a_folder_of_an_earlier_version_is_packed_with_the_competition_s_vocabulary(
    packed_world: Path, raw_world: Path
) -> None:
    assert not (raw_world / "vocabulary.json").exists()
    assert read_vocabulary(packed_world) == HPA_2018


def test_a_damaged_vocabulary_is_refused(own_world: Path, tmp_path: Path) -> None:
    (own_world / "vocabulary.json").write_text('{"labels": []}')
    with pytest.raises(UserError, match=r"vocabulary\.json is not a vocabulary(.|\n)*dvc repro"):
        pack_small(own_world, tmp_path / "packed")
