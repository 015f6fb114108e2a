"""Packed images as `hpa.data.packing` writes them: random access to rows, and their index."""

import os
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.errors import UserError
from hpa.system.files import read_json


def read_index(packed_dir: Path) -> pd.DataFrame:
    """Read the index of a packed folder: one row per image, in the order of the packed rows.

    Raises:
        UserError: the index does not exist.
    """
    texts = dict.fromkeys(("Id", "Target", "group", "source", "folder", "blank", "hash"), str)
    try:
        return pd.read_csv(packed_dir / "index.csv", dtype=texts, keep_default_na=False)
    except FileNotFoundError as error:
        raise _not_packed(packed_dir, error) from error


TILE = "tile"
"""Column of the index, if any image is divided: number of the tile from 1, 0 of whole images."""


def tile_ids(images: pd.Series, tiles: pd.Series) -> pd.Series:
    """Return the Ids of rows: of an image, or of its tile.

    >>> tile_ids(pd.Series(["a", "b", "b"]), pd.Series([0, 1, 2])).tolist()
    ['a', 'b_tile1', 'b_tile2']
    """
    return images.where(tiles == 0, images + "_tile" + tiles.astype(str))


def image_ids(index: pd.DataFrame) -> pd.Series:
    """Return the Id of the image that each row of an index shows, whole or a tile of it.

    >>> image_ids(pd.DataFrame({"Id": ["a_tile1", "b_tile2"], "tile": [0, 2]})).tolist()
    ['a_tile1', 'b']
    """
    if TILE not in index:
        return index["Id"]
    cut = index["Id"].str.rpartition("_tile")[0]
    return index["Id"].where(index[TILE] == 0, cut)


def read_quarantine(packed_dir: Path) -> pd.DataFrame:
    """Read the images that could not be packed: `Id`, `path` within the raw folder, `reason`."""
    return pd.read_csv(packed_dir / "quarantine.csv", dtype=str, keep_default_na=False)


MAX_OPEN_SHARDS = 64
"""A process may usually open 1,024 files; reopening one takes microseconds."""


class Shard:
    """An open shard; its file is closed when the object is garbage-collected."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)


class PackedImages:
    """Random access to packed images, of which only one batch is in memory.

    Attributes:
        row_shape: height, width and channels of an image.
        checksums: CRC-32 of each image, uint32[N].
    """

    def __init__(self, packed_dir: Path) -> None:
        """Read the header of every shard of `packed_dir`; up to 64 shards stay open.

        Raises:
            UserError: the folder was not written by `pack`, or a shard is missing or truncated.
        """
        self._open = lru_cache(MAX_OPEN_SHARDS)(Shard)
        try:
            shards = read_json(packed_dir / "manifest.json")["shards"]
            index = pd.read_csv(packed_dir / "index.csv", usecols=["crc32"])
            self.checksums = index["crc32"].to_numpy(np.uint32)
            self._paths = [packed_dir / each["file"] for each in shards]
            self._offsets, shapes = zip(*map(_read_header, self._paths), strict=True)
        except (OSError, EOFError, ValueError, LookupError) as error:
            raise _not_packed(packed_dir, error) from error
        self._starts = np.cumsum([0, *(shape[0] for shape in shapes)])
        self._packed_dir, self._verified = packed_dir, np.zeros(len(self), dtype=bool)
        self.row_shape: tuple[int, int, int] = shapes[0][1:]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read rows int[B] as uint8[B,S,S,4].

        The checksum of a row is verified only when the row is first read from the disk;
        verifying it each time would make reading 1.5 times as slow.

        Raises:
            IndexError: a row is negative, or not less than the number of rows.
            UserError: a row's bytes differ from those that `pack` wrote.
        """
        if len(rows) and not 0 <= np.min(rows) <= np.max(rows) < len(self):
            raise IndexError(f"rows {rows}: expected numbers from 0 to {len(self) - 1}")
        batch = np.empty((len(rows), *self.row_shape), np.uint8)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        n_bytes = batch[0].nbytes if len(rows) else 0
        for place, (row, shard) in enumerate(zip(rows, shards, strict=True)):
            offset = self._offsets[shard] + int(row - self._starts[shard]) * n_bytes
            opened = self._open(self._paths[shard])  # kept open if another thread evicts it
            if os.preadv(opened.file, [batch[place].data], offset) != n_bytes:
                raise OSError(f"{opened.path} ends before row {row}")
            if not self._verified[row]:
                self._verify(int(row), zlib.crc32(batch[place].data))
        return batch

    def _verify(self, row: int, checksum: int) -> None:
        if checksum != self.checksums[row]:
            image_id = read_index(self._packed_dir)["Id"][row]
            raise UserError(
                f"the packed image {image_id} (row {row}) is damaged",
                expected=f"CRC-32 {self.checksums[row]}, as pack wrote it into index.csv",
                received=f"CRC-32 {checksum}",
                remedy="run: dvc repro --force pack; if the error returns, check the disk",
            )
        self._verified[row] = True


def _read_header(path: Path) -> tuple[int, tuple[int, ...]]:
    """Return the offset and shape of a shard's rows; ValueError if the file is truncated."""
    rows = np.load(path, mmap_mode="r")
    return rows.offset, rows.shape


def _not_packed(packed_dir: Path, error: Exception) -> UserError:
    return UserError(
        f"{packed_dir} contains no packed images",
        expected="index.csv, manifest.json and the shards that it lists, as pack writes them",
        received=str(error),
        remedy="run: dvc repro pack",
    )
