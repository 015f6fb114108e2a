"""Reading packed rows, and errors for missing or damaged ones."""

import json
import os
import resource
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.errors import UserError
from support.worlds import IDS


@pytest.fixture
def few_files() -> Iterator[None]:
    """Limit this process to a hundred more open files."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open_files() + 100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def n_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,002 shards; images-1000 precedes images-101 in alphabetical order."""
    folder = tmp_path_factory.mktemp("shards")
    shards, checksums = [], []
    for number in range(1002):
        pixels = np.full((1, 2, 2, 4), number % 251, np.uint8)
        shards.append({"file": f"images-{number:03d}.npy", "n_images": 1})
        np.save(folder / f"images-{number:03d}.npy", pixels)
        checksums.append(zlib.crc32(pixels))
    (folder / "manifest.json").write_text(json.dumps({"shards": shards}))
    index = pd.DataFrame({"Id": map(str, range(1002)), "crc32": checksums})
    index.to_csv(folder / "index.csv", index=False)
    return folder


def test_more_shards_than_open_files_keep_their_order(many_shards: Path, few_files: None) -> None:
    rows = np.array([0, 101, 999, 1000, 1001])
    assert PackedImages(many_shards).read(rows)[:, 0, 0, 0].tolist() == (rows % 251).tolist()


def test_threads_that_evict_each_other_s_shards_read_the_right_rows(
    many_shards: Path, few_files: None
) -> None:
    images = PackedImages(many_shards)

    def read_all(seed: int) -> bool:
        rows = np.random.default_rng(seed).permutation(1002)
        return np.array_equal(images.read(rows)[:, 1, 1, 3], rows % 251)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read_all, range(8)))


def test_deleting_the_images_closes_all_shards(many_shards: Path) -> None:
    before = n_open_files()
    images = PackedImages(many_shards)
    images.read(np.arange(1002))
    assert n_open_files() <= before + 64
    del images
    assert n_open_files() == before


def test_reading_rows_equals_indexing(packed_world: Path) -> None:
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


def test_a_missing_index_is_an_error_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"packed images(.|\n)*index\.csv(.|\n)*dvc repro pack"):
        read_index(tmp_path)


def test_a_folder_that_is_not_packed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no packed images"):
        PackedImages(tmp_path)


@pytest.mark.parametrize("n_bytes", [None, 0, 50, 5000])
def test_a_missing_or_truncated_shard_is_refused(
    packed_world: Path, tmp_path: Path, n_bytes: int | None
) -> None:
    packed = shutil.copytree(packed_world, tmp_path / "packed")
    shard = packed / "images-001.npy"
    if n_bytes is None:
        shard.unlink()
    else:
        os.truncate(shard, n_bytes)
    with pytest.raises(UserError, match=r"contains no packed images(.|\n)*dvc repro pack"):
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
