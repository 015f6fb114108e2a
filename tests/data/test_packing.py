"""Images become rows: the same bytes every time, whole or not at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from worlds import IDS, N_LABELLED, NEAR_COPIES, SIZE_PX, digests, draw_pixels, write_image

from hpa.data import packing
from hpa.data.duplicates import duplicate_groups
from hpa.data.imaging import read_image
from hpa.data.packing import PackedImages, pack, read_index
from hpa.errors import UserError
from hpa.files import sha256
from hpa.labels import CHANNELS

SRC = Path(__file__).resolve().parents[2] / "src"


def pack_small(raw_dir: Path, packed_dir: Path, *, n_jobs: int = 1, shard_rows: int = 16) -> None:
    """Pack as the fixture `packed_world` does."""
    pack(raw_dir, packed_dir, image_size=32, shard_rows=shard_rows, n_jobs=n_jobs)


def pack_in_another_process(preparation: str, raw_dir: Path, packed_dir: Path) -> int:
    code = (
        "from pathlib import Path\nfrom hpa import command_line\nfrom hpa.data import packing\n"
        f"{preparation}\n"
        f"command_line.run(lambda: packing.pack(Path({str(raw_dir)!r}), Path({str(packed_dir)!r}),"
        " image_size=32, shard_rows=16, n_jobs=1))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True
    ).returncode


def test_every_row_is_its_image(raw_world: Path, packed_world: Path) -> None:
    images, index = PackedImages(packed_world), read_index(packed_world)
    assert len(images) == len(index) == len(IDS)
    rows = images.read(np.arange(len(images)))
    for row, (folder, image_id) in enumerate(zip(index["folder"], index["Id"], strict=True)):
        assert np.array_equal(rows[row], read_image(raw_world / folder, image_id, 32))


def test_the_index_tells_what_the_pixels_are(packed_world: Path) -> None:
    index = read_index(packed_world)
    pixels = PackedImages(packed_world).read(np.arange(len(index)))
    assert list(index["Id"]) == IDS
    assert index["labelled"].dtype == bool
    assert index["labelled"].sum() == N_LABELLED
    for number, channel in enumerate(CHANNELS):
        plane = pixels[..., number] / 255
        assert np.allclose(index[f"{channel}_mean"], plane.mean(axis=(1, 2)), atol=1e-6)
        assert np.allclose(index[f"{channel}_std"], plane.std(axis=(1, 2)), atol=1e-6)
        assert np.allclose(index[f"{channel}_saturated"], (plane == 1).mean(axis=(1, 2)), atol=1e-6)


def test_near_copies_have_near_hashes_and_others_have_not(packed_world: Path) -> None:
    group = duplicate_groups(list(read_index(packed_world)["hash"]), 6)
    for copy, original in NEAR_COPIES.items():
        assert group[copy] == group[original]
    assert len(set(group)) == len(IDS) - len(NEAR_COPIES)


def test_the_manifest_lists_the_shards_and_their_digests(packed_world: Path) -> None:
    manifest = json.loads((packed_world / "manifest.json").read_text())
    assert (manifest["image_size"], manifest["n_images"]) == (32, 44)
    assert [shard["n_images"] for shard in manifest["shards"]] == [16, 16, 12]
    for shard in manifest["shards"]:
        assert sha256(packed_world / shard["file"]) == shard["sha256"]


def test_a_repeated_run_replaces_the_folder_by_the_same_bytes(
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
        UserError, match=r"cell-033_blue\.png cannot be read(.|\n)*cut off after 100"
    ):
        pack_small(own_world, tmp_path / "packed", n_jobs=2)
    assert digests(tmp_path / "packed") == digests(packed_world)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "raw"]


@pytest.mark.parametrize("shard_rows", [1, 7, 44, 1000])
def test_the_size_of_shards_changes_no_row(
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


def test_more_than_a_thousand_shards_keep_their_order(tmp_path: Path) -> None:
    """images-1000 comes before images-101 in the alphabet."""
    shards, checksums = [], []
    for number in range(1002):
        pixels = np.full((1, 2, 2, 4), number % 251, np.uint8)
        shards.append({"file": f"images-{number:03d}.npy", "n_images": 1})
        np.save(tmp_path / f"images-{number:03d}.npy", pixels)
        checksums.append(zlib.crc32(pixels))
    (tmp_path / "manifest.json").write_text(json.dumps({"shards": shards}))
    index = pd.DataFrame({"Id": map(str, range(1002)), "crc32": checksums})
    index.to_csv(tmp_path / "index.csv", index=False)
    rows = np.array([0, 101, 999, 1000, 1001])
    assert PackedImages(tmp_path).read(rows)[:, 0, 0, 0].tolist() == (rows % 251).tolist()


def test_reading_rows_is_indexing(packed_world: Path) -> None:
    whole = np.concatenate([np.load(path) for path in sorted(packed_world.glob("*.npy"))])
    images = PackedImages(packed_world)
    random = np.random.default_rng(0)
    for n in (0, 1, 5, 200):
        rows = random.integers(0, len(whole), n)
        assert np.array_equal(images.read(rows), whole[rows])
    edges = np.array([0, 15, 16, 31, 32, 43, 43, 0])
    assert np.array_equal(images.read(edges), whole[edges])
    assert images.row_shape == (32, 32, 4)


@pytest.mark.parametrize("row", [-1, 44, 10**12])
def test_a_row_that_does_not_exist_is_refused(packed_world: Path, row: int) -> None:
    with pytest.raises(IndexError, match="expected numbers from 0 to 43"):
        PackedImages(packed_world).read(np.array([0, row]))


def test_a_folder_that_is_not_packed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no packed images"):
        PackedImages(tmp_path)


@pytest.mark.parametrize("n_bytes", [None, 0, 50, 5000])
def test_a_shard_that_is_missing_or_cut_is_refused(
    packed_world: Path, tmp_path: Path, n_bytes: int | None
) -> None:
    packed = shutil.copytree(packed_world, tmp_path / "packed")
    shard = packed / "images-001.npy"
    if n_bytes is None:
        shard.unlink()
    else:
        os.truncate(shard, n_bytes)
    with pytest.raises(UserError, match=r"holds no packed images(.|\n)*dvc repro pack"):
        PackedImages(packed)


def test_a_flipped_bit_of_a_packed_row_names_the_image(packed_world: Path, tmp_path: Path) -> None:
    packed = shutil.copytree(packed_world, tmp_path / "packed")
    shard = packed / "images-001.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 4  # the last pixel of the second shard's last row, 31
    shard.write_bytes(content)
    images = PackedImages(packed)
    assert len(images.read(np.array([0, 30, 32]))) == 3
    with pytest.raises(UserError, match=rf"{IDS[31]} \(row 31\) is damaged"):
        images.read(np.array([0, 31]))


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


def test_an_unfit_image_leaves_the_older_folder_untouched(
    own_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    packed = shutil.copytree(packed_world, tmp_path / "packed")
    write_image(own_world / "test", IDS[-1], np.zeros((32, 64, 4), np.uint8))
    with pytest.raises(UserError, match=IDS[-1]):
        pack_small(own_world, packed)
    assert digests(packed) == digests(packed_world)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "raw"]


def test_sigkill_midway_leaves_nothing_visible_and_the_repeat_is_a_clean_run(
    raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    kill_at_the_tenth_image = (
        "import os, signal\nread, n = packing.read_image, iter(range(99))\n"
        "def read_or_die(*arguments):\n"
        "    if next(n) == 10: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return read(*arguments)\n"
        "packing.read_image = read_or_die"
    )
    returncode = pack_in_another_process(kill_at_the_tenth_image, raw_world, tmp_path / "packed")
    assert returncode == -signal.SIGKILL
    assert [path.name[:9] for path in tmp_path.iterdir()] == [".partial-"]
    pack_small(raw_world, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    assert digests(tmp_path / "packed") == digests(packed_world)


def test_a_file_size_limit_is_a_clear_error_and_no_crash(
    raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    packed = shutil.copytree(packed_world, tmp_path / "packed")
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    assert pack_in_another_process(limit, raw_world, packed) == 2
    assert digests(packed) == digests(packed_world)
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_a_full_disk_is_refused_before_anything_is_written(
    raw_world: Path, small_disk: Path
) -> None:
    with pytest.raises(UserError, match="not enough free disk for the packed images"):
        pack_small(raw_world, small_disk / "packed")
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_midway_is_a_clear_error_and_leaves_the_older_folder(
    raw_world: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "packed").mkdir()
    (small_disk / "packed" / "old.txt").write_text("old")
    monkeypatch.setattr(packing, "require_free_space", lambda *_: None)
    with pytest.raises(UserError, match="the disk is full"):
        pack_small(raw_world, small_disk / "packed")
    assert digests(small_disk) == {"packed/old.txt": b"old"}


def test_a_read_only_folder_is_a_clear_error(raw_world: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro,size=1m", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"packed could not be written(.|\n)*Read-only"):
        pack_small(raw_world, small_disk / "packed")


def test_the_real_sample_is_packed(real_data: Path, tmp_path: Path) -> None:
    index = pack(real_data / "sample48", tmp_path / "p", image_size=64, shard_rows=20, n_jobs=1)
    assert len(index) == 48
    assert (index["blank"] == "").all()
    assert index["green_mean"].between(0.001, 0.5).all()
    rounded = read_index(tmp_path / "p")
    pd.testing.assert_frame_equal(rounded, index, atol=1e-6, check_dtype=False)
