"""Reading packed images: rows of the shards that `hpa.data.packing` wrote, and their index."""

import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.errors import UserError
from hpa.files import read_json


def read_index(packed_dir: Path) -> pd.DataFrame:
    """Read the index of a packed folder: one row an image, in the order of the packed rows."""
    texts = dict.fromkeys(("Id", "Target", "group", "folder", "blank", "hash"), str)
    return pd.read_csv(packed_dir / "index.csv", dtype=texts, keep_default_na=False)


def read_quarantine(packed_dir: Path) -> pd.DataFrame:
    """Read which images were left out: `Id`, `path` within the raw folder, `reason`."""
    return pd.read_csv(packed_dir / "quarantine.csv", dtype=str, keep_default_na=False)


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
