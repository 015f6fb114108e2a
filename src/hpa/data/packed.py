"""Reading packed images: rows of the shards that `hpa.data.packing` wrote, and their index."""

import os
import zlib
from functools import lru_cache
from math import prod
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.errors import UserError
from hpa.system.files import read_json


def read_index(packed_dir: Path) -> pd.DataFrame:
    """Read the index of a packed folder: one row an image, in the order of the packed rows.

    Raises:
        UserError: there is none.
    """
    texts = dict.fromkeys(("Id", "Target", "group", "folder", "blank", "hash"), str)
    try:
        return pd.read_csv(packed_dir / "index.csv", dtype=texts, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{packed_dir} holds no packed images",
            expected="index.csv, as pack writes it",
            received=str(error),
            remedy="run: dvc repro pack",
        ) from error


def read_quarantine(packed_dir: Path) -> pd.DataFrame:
    """Read which images were left out: `Id`, `path` within the raw folder, `reason`."""
    return pd.read_csv(packed_dir / "quarantine.csv", dtype=str, keep_default_na=False)


MAX_OPEN_SHARDS = 64
"""Of the 1,024 files that a process may usually open; to open another one takes microseconds."""


class Shard:
    """A shard's file, open as long as someone holds this object."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, os.open(path, os.O_RDONLY)

    def read_header(self) -> tuple[int, tuple[int, ...]]:
        """Return where the rows begin and their shape, and see that the file is whole.

        Raises:
            ValueError: it is cut, or holds no rows of uint8.
        """
        with open(self.file, "rb", closefd=False) as file:
            np.lib.format.read_magic(file)
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        if by_column or dtype != np.uint8:
            raise ValueError(f"{self.path} holds {dtype}, no rows of uint8")
        if (n_bytes := os.fstat(self.file).st_size) < offset + prod(shape):
            raise ValueError(f"{self.path} has {n_bytes} bytes, not {offset + prod(shape)}")
        return offset, shape

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)


class PackedImages:
    """Random access to packed images that never holds more than a batch in memory."""

    def __init__(self, packed_dir: Path) -> None:
        """Look at every shard of `packed_dir`; up to 64 stay open as long as this object lives.

        Raises:
            UserError: the folder was not written by `pack`, or a shard is missing or cut.
        """
        self._open = lru_cache(MAX_OPEN_SHARDS)(Shard)
        try:
            shards = read_json(packed_dir / "manifest.json")["shards"]
            index = pd.read_csv(packed_dir / "index.csv", usecols=["crc32"])
            self._checksums = index["crc32"].to_numpy(np.uint32)
            self._paths = [packed_dir / each["file"] for each in shards]
            headers = [self._open(path).read_header() for path in self._paths]
            self._offsets, shapes = zip(*headers, strict=True)
        except (OSError, EOFError, ValueError, LookupError) as error:
            raise UserError(
                f"{packed_dir} holds no packed images",
                expected="manifest.json and the shards that it lists, as pack writes them",
                received=str(error),
                remedy="run: dvc repro pack",
            ) from error
        self._starts = np.cumsum([0, *(shape[0] for shape in shapes)])
        self._packed_dir, self._verified = packed_dir, np.zeros(len(self), dtype=bool)
        self.row_shape: tuple[int, int, int] = shapes[0][1:]

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
            offset = self._offsets[shard] + int(row - self._starts[shard]) * n_bytes
            opened = self._open(self._paths[shard])  # held while another thread opens the next
            if os.preadv(opened.file, [batch[place].data], offset) != n_bytes:
                raise OSError(f"{opened.path} ends before row {row}")
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
