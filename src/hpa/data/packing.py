"""Decode once: image files become rows of uint8 `.npy` shards, with an index beside them.

images.npy               uint8[N,S,S,4]; images-000.npy, images-001.npy … where N is large
index.csv                a row an image: labels, statistics, flags, perceptual hash, CRC-32
manifest.json            image size, rows and SHA-256 of each shard
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from hpa.data.catalogue import read_catalogue
from hpa.data.imaging import perceptual_hash, read_image
from hpa.errors import UserError
from hpa.files import atomic_path, read_json, require_free_space, sha256, write_json
from hpa.labels import CHANNELS
from hpa.progress import progress

BLANK_STD = 1 / 255
"""A channel whose standard deviation is below one grey level shows nothing."""
CHUNK = 32
"""Images a task: enough to make handing out tasks cheap, few enough for a smooth bar."""


def pack(
    raw_dir: Path, packed_dir: Path, *, image_size: int, shard_rows: int, n_jobs: int = -1
) -> pd.DataFrame:
    """Decode every image of a folder in Kaggle's layout into `packed_dir`, and index it.

    The same files give the same bytes, whatever `n_jobs`; memory does not grow with N.

    Args:
        raw_dir: the folder in Kaggle's layout.
        packed_dir: becomes the packed folder, whole or not at all.
        image_size: height and width S of the packed images in pixels.
        shard_rows: images a shard.
        n_jobs: processes; -1 for one a core.

    Returns:
        The index, one row an image in the order of the rows.

    Raises:
        UserError: the table or an image is unfit, named with its path; or the disk is full.
    """
    images = read_catalogue(raw_dir)
    require_free_space(
        packed_dir.parent, len(images) * image_size**2 * len(CHANNELS), "the packed images"
    )
    with atomic_path(packed_dir) as folder:
        folder.mkdir()
        shards = _create_shards(folder, len(images), image_size, shard_rows)
        tasks = (
            joblib.delayed(_pack_rows)(raw_dir, images.iloc[start:stop], path, start - first)
            for path, first, end in shards
            for start, stop in _chunks(first, end)
        )
        packed = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
        rows = (row for chunk in packed for row in chunk)
        described = list(progress(rows, what="pack", total=len(images)))
        index = pd.concat([images, pd.DataFrame(described)], axis=1)
        index.to_csv(folder / "index.csv", index=False, float_format="%.6f")
        write_json(
            folder / "manifest.json",
            {
                "image_size": image_size,
                "n_images": len(images),
                "shards": [
                    {"file": path.name, "n_images": end - first, "sha256": sha256(path)}
                    for path, first, end in shards
                ],
            },
        )
    return index


def read_index(packed_dir: Path) -> pd.DataFrame:
    """Read the index of a packed folder: one row an image, in the order of the packed rows."""
    texts = dict.fromkeys(("Id", "Target", "group", "folder", "blank", "hash"), str)
    return pd.read_csv(packed_dir / "index.csv", dtype=texts, keep_default_na=False)


class PackedImages:
    """Random access to packed images that never holds more than a batch in memory."""

    def __init__(self, packed_dir: Path) -> None:
        """Open the shards of `packed_dir`; they stay open as long as this object lives.

        Raises:
            UserError: the folder was not written by `pack`, or a shard is missing or cut.
        """
        try:
            shards = read_json(packed_dir / "manifest.json")["shards"]
            index = pd.read_csv(packed_dir / "index.csv", usecols=["crc32"])
            self._checksums = index["crc32"].to_numpy(np.uint32)
            self._shards = [np.load(packed_dir / each["file"], mmap_mode="r") for each in shards]
        except (OSError, EOFError, ValueError, LookupError) as error:
            raise UserError(
                f"{packed_dir} holds no packed images",
                expected="manifest.json and the shards that it lists, as pack writes them",
                received=str(error),
                remedy="run: dvc repro pack",
            ) from error
        self._files = [os.open(shard.filename, os.O_RDONLY) for shard in self._shards]
        self._starts = np.cumsum([0, *map(len, self._shards)])
        self._packed_dir, self._verified = packed_dir, np.zeros(len(self), dtype=bool)
        self.row_shape: tuple[int, int, int] = self._shards[0].shape[1:]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read rows int[B] as uint8[B,S,S,4], each straight from the file into its place.

        A row is verified when it is first read, as that is when its bytes come from the disk;
        to do so each time would take half as long again as the reading.

        Raises:
            IndexError: a row is negative, or not below the number of rows.
            UserError: a row's bytes are not those that `pack` wrote.
        """
        if len(rows) and not 0 <= np.min(rows) <= np.max(rows) < len(self):
            raise IndexError(f"rows {rows}: expected numbers from 0 to {len(self) - 1}")
        batch = np.empty((len(rows), *self.row_shape), np.uint8)
        which = np.searchsorted(self._starts, rows, side="right") - 1
        n_bytes = batch[0].nbytes if len(rows) else 0
        for place, (row, shard) in enumerate(zip(rows, which, strict=True)):
            offset = self._shards[shard].offset + int(row - self._starts[shard]) * n_bytes
            if os.preadv(self._files[shard], [batch[place].data], offset) != n_bytes:
                raise OSError(f"{self._shards[shard].filename} ends before row {row}")
            if not self._verified[row]:
                self._verify(int(row), batch[place])
        return batch

    def _verify(self, row: int, pixels: np.ndarray) -> None:
        if (checksum := zlib.crc32(pixels.data)) != self._checksums[row]:
            raise self._damaged(row, checksum)
        self._verified[row] = True

    def _damaged(self, row: int, checksum: int) -> UserError:
        image_id = read_index(self._packed_dir)["Id"][row]
        return UserError(
            f"the packed image {image_id} (row {row}) is damaged",
            expected=f"CRC-32 {self._checksums[row]}, as pack wrote it into index.csv",
            received=f"CRC-32 {checksum}",
            remedy="run: dvc repro --force pack; if it comes back, check the disk",
        )

    def __del__(self) -> None:
        for file in getattr(self, "_files", []):
            os.close(file)


def _create_shards(
    folder: Path, n_images: int, image_size: int, shard_rows: int
) -> list[tuple[Path, int, int]]:
    """Lay out empty shards; returns path, first row and end row of each."""
    firsts = range(0, n_images, shard_rows)
    shards = []
    for number, first in enumerate(firsts):
        name = "images.npy" if len(firsts) == 1 else f"images-{number:03d}.npy"
        end = min(first + shard_rows, n_images)
        shape = (end - first, image_size, image_size, len(CHANNELS))
        open_memmap(folder / name, "w+", np.uint8, shape)
        _reserve(folder / name)
        shards.append((folder / name, first, end))
    return shards


def _reserve(path: Path) -> None:
    """Claim a sparse file's blocks now: a full disk is an error here, but SIGBUS in a memmap."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _chunks(first: int, end: int) -> Iterator[tuple[int, int]]:
    for start in range(first, end, CHUNK):
        yield start, min(start + CHUNK, end)


def _pack_rows(
    raw_dir: Path, images: pd.DataFrame, shard_path: Path, place: int
) -> list[dict[str, Any]]:
    cv2.setNumThreads(1)
    shard = open_memmap(shard_path, "r+")
    rows = []
    for offset, (folder, image_id) in enumerate(zip(images["folder"], images["Id"], strict=True)):
        pixels = read_image(raw_dir / folder, image_id, shard.shape[1])
        shard[place + offset] = pixels
        rows.append(_describe(pixels))
    return rows


def _describe(pixels: np.ndarray) -> dict[str, Any]:
    """Measure uint8[S,S,4]: means, deviations and shares of saturated pixels lie in [0,1]."""
    flat = pixels.reshape(-1, len(CHANNELS))
    means, stds = flat.mean(axis=0) / 255, flat.std(axis=0) / 255
    saturated = (flat == 255).mean(axis=0)
    statistics: dict[str, Any] = {}
    for number, channel in enumerate(CHANNELS):
        statistics[f"{channel}_mean"] = means[number]
        statistics[f"{channel}_std"] = stds[number]
        statistics[f"{channel}_saturated"] = saturated[number]
    blank = [name for name, std in zip(CHANNELS, stds, strict=True) if std < BLANK_STD]
    return statistics | {
        "blank": " ".join(blank),
        "hash": perceptual_hash(pixels),
        "crc32": zlib.crc32(pixels.data),
    }
